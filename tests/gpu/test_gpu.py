"""Layers and training on a real GPU against the CPU, and replayed steps against launched ones."""

import io
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet import MODELS, build_model, step_graphs
from siconvnet.fit import Epoch, Fit, Images
from siconvnet.step_graphs import CaptureError
from tune_jobs.trial.calibrate import discs
from tune_jobs.trial.determinism import begin_alike

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU")
CLASSES = 5


def training_step(name: str, dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """The loss of four images and its gradients, on the CPU."""
    begin_alike(1, threads=1, device=device)
    model = build_model(name, in_channels=1, num_classes=CLASSES).to(device, dtype)
    images = (discs(4).to(dtype) / 255).to(device)
    loss = F.cross_entropy(model(images), torch.arange(4, device=device))
    loss.backward()
    found = {key: weight.grad for key, weight in model.named_parameters()} | {"loss": loss}
    return {key: values.detach().cpu() for key, values in found.items()}


def images(count: int, seed: int) -> Images:
    torch.manual_seed(seed)
    return Images(discs(count), torch.arange(count) % CLASSES)


def fit(name: str, device: str, *, capturable: bool = True, max_epochs: int = 2) -> Fit:
    """Eleven training batches, the last one smaller, and three validation batches an epoch."""
    begin_alike(3, threads=1, device=device)
    model = build_model(name, in_channels=1, num_classes=CLASSES).to(device)
    train, valid = images(42, 1).to(device), images(12, 2).to(device)
    options = {"lr": 1e-3, "max_epochs": max_epochs, "batch_size": 4, "num_classes": CLASSES}
    return Fit(model, train, valid, capturable=capturable, **options)


def epochs(steps: Iterator) -> list[Epoch]:
    return [step.finished for step in steps if step.finished]


def through_a_file(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_on_a_gpu_what_it_learns_on_the_cpu(name: str):
    there, here = (training_step(name, torch.float64, device) for device in ("cuda", "cpu"))
    slack = 1e-10 * max(float(expected.abs().max()) for expected in here.values())
    for key, expected in here.items():
        torch.testing.assert_close(there[key], expected, rtol=0, atol=slack, msg=key)


@pytest.mark.parametrize("name", MODELS)
def test_single_precision_is_not_halved_on_a_gpu(name: str):
    there, here = (training_step(name, torch.float32, device) for device in ("cuda", "cpu"))
    assert there["loss"].item() == pytest.approx(here["loss"].item(), rel=2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_never_waits_for_the_gpu(name: str):
    model = build_model(name, in_channels=3, num_classes=CLASSES).to("cuda")
    batch, labels = torch.rand(2, 3, 64, 64, device="cuda"), torch.arange(2, device="cuda")
    F.cross_entropy(model(batch), labels).backward()  # makes the constants
    torch.cuda.set_sync_debug_mode("error")
    try:
        F.cross_entropy(model(batch), labels).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", MODELS)
def test_replayed_steps_train_as_launched_ones_do(name: str, monkeypatch: pytest.MonkeyPatch):
    replayed = epochs(iter(fit(name, "cuda", max_epochs=6)))  # the smaller batch's graph, too
    monkeypatch.setattr(step_graphs, "WARM_UP", 10**9)
    assert epochs(iter(fit(name, "cuda", max_epochs=6))) == replayed


@pytest.mark.parametrize("stop_after", [1, 12, 20])
@pytest.mark.parametrize("name", MODELS)
def test_training_that_was_stopped_ends_with_the_same_digits(name: str, stop_after: int):
    whole = fit(name, "cuda")
    expected = epochs(iter(whole))
    first, second = fit(name, "cuda"), fit(name, "cuda")
    begun = epochs(islice(first, stop_after))
    second.load_state_dict(through_a_file(first.state_dict()))
    assert begun + epochs(iter(second)) == expected
    for key, weight in whole.best_weights.items():
        assert torch.equal(second.best_weights[key].cpu(), weight.cpu()), key


@pytest.mark.parametrize(("before", "after"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_training_goes_on_on_the_other_device(before: str, after: str):
    expected = epochs(iter(fit("standard", "cpu", max_epochs=3)))
    first, second = (fit("standard", device, max_epochs=3) for device in (before, after))
    begun = epochs(islice(first, 20))
    second.load_state_dict(through_a_file(first.state_dict()))
    found = begun + epochs(iter(second))
    assert [epoch.number for epoch in found] == [1, 2, 3]
    for one, other in zip(found, expected, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)


def test_a_graph_is_dropped_when_another_state_is_loaded():
    training = fit("standard", "cuda", max_epochs=4)
    steps = iter(training)
    start = through_a_file(training.state_dict())
    once = epochs(islice(steps, 28))
    training.load_state_dict(start)
    assert epochs(islice(training, 28)) == once


@pytest.mark.parametrize("name", ["pixel_pool", "slice_pool", "energy_pool", "energy_pool_valid"])
def test_the_chosen_scales_are_those_of_the_plain_form_in_double_precision(name: str):
    torch.manual_seed(1)
    stage = build_model(name, in_channels=1, num_classes=CLASSES).stage1
    x = discs(4).float() / 255
    with torch.no_grad():
        stage.conv.plain = True
        _, expected = stage.double()(x.double(), return_indices=True)
        stage.conv.plain = False
        _, found = stage.float().to("cuda")(x.to("cuda"), return_indices=True)
    assert torch.equal(found.cpu(), expected)


class Curious(nn.Module):
    """A network that looks at a value of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * float(x.max())


def test_a_model_that_is_not_capturable_says_so_and_trains_without():
    train = images(42, 1).to("cuda")

    def curious(capturable: bool) -> Fit:
        options = {"lr": 1e-3, "max_epochs": 1, "batch_size": 4}
        return Fit(Curious().to("cuda"), train, train, capturable=capturable, **options)

    assert len(epochs(iter(curious(False)))) == 1
    with pytest.raises(CaptureError, match="must ask for no value of a tensor"):
        list(curious(True))
    assert epochs(iter(fit("standard", "cuda")))  # the process is none the worse for it
