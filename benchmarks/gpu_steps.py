"""A training step on a GPU, by the book, fast, and fast as the replay of a CUDA graph.

    python -m benchmarks.gpu_steps --models pixel_pool disco

Steps are those of a trial: forward, backward and Adam on 16 images of 64 x 64 pixels, kernel size
7, bicubic, float32, deterministic but for the plain form, which is published as it is. The forms
alternate epoch by epoch in one process; figures are medians over epochs of the clock's time of all
steps over their number. *Busy* is how long the GPU's kernels take in one launched step, *kernels*
how many there are. Markdown on stdout, progress on stderr.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.command_line import parser_of, print_head, print_row
from benchmarks.layers import NUM_CLASSES, objects
from siconvnet import MODELS, build_model
from siconvnet.fit import Fit, Images, Step
from siconvnet.step_graphs import WARM_UP
from stir.terminal import progress_bar
from tune_jobs.trial.determinism import begin_alike

BATCHES, BATCH_SIZE = 10, 16
PLAIN, LAUNCHED, REPLAYED = "plain", "launched", "replayed"
FORMS = (PLAIN, LAUNCHED, REPLAYED)
HEADINGS = (
    "model",
    *(f"{form}, ms" for form in FORMS),
    "plain / replayed",
    "launched / replayed",
    "busy, ms",
    "kernels",
    "validation launched, ms",
    "validation replayed, ms",
)


class Course:
    """A model that trains in one form, an epoch whenever it is asked for."""

    def __init__(self, name: str, form: str, epochs: int) -> None:
        self.form = form
        begin_alike(1, threads=1, device="cuda")
        model = build_model(name, in_channels=1, num_classes=NUM_CLASSES, plain=form == PLAIN)
        pixels = (objects(1) * 255).to(torch.uint8).repeat(BATCHES, 1, 1, 1)
        images = Images(pixels, torch.arange(len(pixels)) % NUM_CLASSES).to("cuda")
        self.steps: Iterator[Step] = iter(
            Fit(
                model.to("cuda"),
                images,
                images,
                lr=1e-3,
                max_epochs=epochs,
                patience=epochs,
                batch_size=BATCH_SIZE,
                capturable=form == REPLAYED,
            )
        )

    def epoch(self) -> tuple[float, float]:
        """Seconds of a training and of a validation step."""
        torch.use_deterministic_algorithms(self.form != PLAIN, warn_only=True)
        return self._seconds(), self._seconds()

    def _seconds(self) -> float:
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(BATCHES):
            next(self.steps)
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / BATCHES


def measure(name: str, repeats: int) -> list[str]:
    """One row of the table."""
    courses = {form: Course(name, form, repeats + 2) for form in FORMS}
    train, valid = ({form: [] for form in FORMS} for _ in range(2))
    for number in range(1 + repeats):
        for form, course in courses.items():
            found = course.epoch()
            if number:  # the first epoch makes constants and records graphs
                train[form].append(found[0])
                valid[form].append(found[1])
    train, valid = ({form: median(part[form]) for form in FORMS} for part in (train, valid))
    busy, kernels = launched_kernels(courses[LAUNCHED].steps)
    return [
        f"`{name}`",
        *(f"{1000 * train[form]:.2f}" for form in FORMS),
        f"{train[PLAIN] / train[REPLAYED]:.1f}",
        f"{train[LAUNCHED] / train[REPLAYED]:.1f}",
        f"{1000 * busy:.2f}",
        f"{kernels}",
        f"{1000 * valid[LAUNCHED]:.2f}",
        f"{1000 * valid[REPLAYED]:.2f}",
    ]


def product_rate() -> float:
    """Multiplications and additions per second in float32 products of 8192 x 8192 matrices."""
    a, b = torch.rand(2, 8192, 8192, device="cuda")
    times = []
    for _ in range(4):
        torch.cuda.synchronize()
        began = time.perf_counter()
        torch.mm(a, b)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 2 * 8192**3 / median(times[1:])


def launched_kernels(steps: Iterator[Step]) -> tuple[float, int]:
    """Seconds and number of the kernels of the next step, copies included."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        next(steps)
        torch.cuda.synchronize()
    kernels = [
        event
        for event in profiler.events() or ()
        if event.device_type.name == "CUDA" and not event.is_user_annotation
    ]
    return sum(event.time_range.elapsed_us() for event in kernels) / 1e6, len(kernels)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each form (5)")
    options = parser.parse_args(argv)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1; got {options.repeats}.")
    if not torch.cuda.is_available():
        parser.error("This benchmark needs a GPU that PyTorch can use; there is none here.")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    begin_alike(1, threads=1, device="cuda")
    print(
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; matrix products at "
        f"{product_rate() / 1e12:.0f} TFLOP/s; graphs after {WARM_UP} steps.\n"
    )
    print_head(HEADINGS)
    with progress_bar("measuring") as progress:
        for done, name in enumerate(options.models):
            progress(done, len(options.models))
            print_row(measure(name, options.repeats))
    return 0


if __name__ == "__main__":
    sys.exit(main())
