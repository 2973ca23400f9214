"""How long this machine takes for an image, in training and in inference, model by model."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from statistics import median

import torch

from siconvnet import MODELS, build_model
from siconvnet.fit import Fit, Images
from siconvnet.step_graphs import WARM_UP
from tune_jobs.records.calibration import Calibration, ModelSeconds
from tune_jobs.records.trial import utc_now
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import read_calibration
from tune_jobs.study.study import Resources
from tune_jobs.trial.determinism import begin_alike
from tune_jobs.trial.provenance import backend_on, processor_of

BATCH = 16  # images, as in the published protocol
EPOCHS = 3  # of one batch, which are counted
UNCOUNTED = {
    "cpu": 1,
    "cuda": WARM_UP + 2,
}  # epochs before them: constants, graphs that are recorded
CLASSES, KERNEL_SIZE, SIDE = 36, 7, 64


def this_machine(threads: int, device: str = "cpu") -> Calibration:
    """A calibration of this kind of machine in which no model is timed yet."""
    return Calibration(
        processor=processor_of(device),
        threads=threads,
        backend=backend_on(device),
        torch_version=torch.__version__,
        models={},
        measured_at=utc_now(),
        device=device,
    )


def calibration_here(storage: Storage, *, threads: int, device: str = "cpu") -> Calibration | None:
    """What was measured on a machine like this one, if anything was."""
    return read_calibration(storage, this_machine(threads, device).name)


def machine_of_trials(storage: Storage, resources: Resources) -> Calibration | None:
    """This machine, on which trials run, as far as it was calibrated.

    None if they need a GPU and this machine has none: they run elsewhere.
    """
    device = "cuda" if resources.gpus else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        return None
    threads = resources.cpus
    here = calibration_here(storage, threads=threads, device=device)
    return here or this_machine(threads, device)


def machine_with_gpu(storage: Storage, gpu: str) -> Calibration:
    """A machine with a GPU that is called so, as far as one was calibrated."""
    machine = Calibration(
        processor=gpu,
        threads=1,
        backend=backend_on("cuda"),
        torch_version=torch.__version__,
        models={},
        measured_at=utc_now(),
        device="cuda",
    )
    return read_calibration(storage, machine.name) or machine


def calibrate(
    models: Iterable[str],
    *,
    threads: int,
    device: str = "cpu",
    report: Callable[[str, ModelSeconds], None],
    known: Calibration | None = None,
) -> Calibration:
    """Time one batch of each model as a trial does; ``report`` gets each result as it is there.

    What is ``known`` of other models stays, unless another version of torch was timed.
    """
    machine = this_machine(threads, device)
    kept = known.models if known and known.torch_version == machine.torch_version else {}
    before = torch.get_num_threads()
    try:
        found: dict[str, ModelSeconds] = {}
        for name in models:
            begin_alike(0, threads=threads, device=device)
            found[name] = time_model(name, device)
            report(name, found[name])
    finally:
        torch.set_num_threads(before)
    return replace(machine, models=kept | found)


def time_model(name: str, device: str = "cpu") -> ModelSeconds:
    """The medians over a few batches of bright discs on black, which cost what emoji do."""
    sizes = MODELS[name].kernel_sizes
    kernel_size = KERNEL_SIZE if sizes is None or KERNEL_SIZE in sizes else sizes[0]
    model = build_model(name, in_channels=1, num_classes=CLASSES, kernel_size=kernel_size)
    images = Images(discs(BATCH), torch.arange(BATCH) % CLASSES).to(device)
    fit = Fit(
        model.to(device),
        images,
        images,
        lr=1e-3,
        max_epochs=UNCOUNTED[device] + EPOCHS,
        batch_size=BATCH,
        capturable=MODELS[name].capturable,
    )
    seconds: list[float] = []
    began = time.perf_counter()
    for _ in fit:
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
    counted = seconds[2 * UNCOUNTED[device] :]  # training and validation by turns
    return ModelSeconds(train=median(counted[::2]) / BATCH, valid=median(counted[1::2]) / BATCH)


def discs(count: int) -> torch.Tensor:
    """Discs of 33 to 48 pixels in the middle of black images, (count, 1, 64, 64) uint8."""
    place = torch.arange(SIDE) - (SIDE - 1) / 2
    distance = torch.hypot(place[:, None], place[None, :])
    radii = torch.linspace(33, 48, count)[:, None, None] / 2
    grain = torch.randint(128, 256, (count, SIDE, SIDE))
    return ((distance < radii) * grain).to(torch.uint8)[:, None]
