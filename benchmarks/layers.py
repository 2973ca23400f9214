"""Seconds and memory of a training step on the CPU, plain, by PyTorch's products, and compiled.

    python -m benchmarks.layers --models pixel_pool slice_pool --channels 1 --threads 1

A step is forward, backward and Adam on 16 images of 64 x 64 pixels, kernel size 7, bicubic,
float32. The forms alternate in one process, five steps of the fast ones after each plain one;
figures are medians, of processor time on one thread, else of the clock's. "Forward" is the
model's answer without autograd. Freed memory is kept, as in a trial (tune_jobs/trial/memory.py).
With --memory the table says instead what a step adds to memory at its peak, in a process of its
own. The table is Markdown on stdout; progress goes to stderr.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.command_line import parser_of, print_head, print_row
from siconvnet import MODELS, build_model
from siconvnet.compiled.library import VARIABLE
from siconvnet.fast import backend
from stir.cores import processor_name
from stir.terminal import progress_bar
from tune_jobs.trial.memory import keep_freed_memory

BATCH_SIZE, IMAGE_SIDE, NUM_CLASSES = 16, 64, 36
FAST_STEPS = 5  # for each plain one
PLAIN, TORCH, COMPILED = "plain", "PyTorch", "compiled"
FORMS = (PLAIN, TORCH, COMPILED)
WANTED_RATIO = {  # of training steps: plain to PyTorch, PyTorch to compiled
    "standard": (1.6, 2.0),
    "pixel_pool": (15, 2.8),
    "slice_pool": (15, 2.1),
    "energy_pool": (15, 1.8),
    "energy_pool_valid": (15, 1.8),
    "conv3d": (5, 5.0),
    "ensemble": (2, 1.5),
    "spatial_transform": (1.4, None),
    "xu": (4, 2.4),
    "kanazawa": (2.2, 1.5),
    "hermite": (5, 2.1),
    "disco": (3.5, 2.3),
    "scale_select": (None, None),  # has one form only
    "scale_select_k": (None, None),
}
HEADINGS = (
    "model",
    "channels",
    "threads",
    "plain, s",
    "PyTorch, s",
    "compiled, s",
    "plain / PyTorch",
    "wanted",
    "PyTorch / compiled",
    "wanted",
    "forward",
)
MEMORY_HEADINGS = ("model", "channels", "plain, MB", "PyTorch, MB", "compiled, MB")


@contextmanager
def form_pinned(form: str) -> Iterator[None]:
    """Let one of the two fast forms serve for a while."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "torch" if form == TORCH else ""
    try:
        yield
    finally:
        os.environ[VARIABLE] = before or ""


class Bench:
    """A model in one form, its optimiser and one batch of objects of many sizes on black."""

    def __init__(self, name: str, channels: int, form: str) -> None:
        torch.manual_seed(1)
        self.form = form
        self.model: nn.Module = build_model(
            name, in_channels=channels, num_classes=NUM_CLASSES, plain=form == PLAIN
        )
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.images = objects(channels)
        self.labels = torch.arange(BATCH_SIZE)

    def step(self) -> None:
        self.optimiser.zero_grad()
        F.cross_entropy(self.model(self.images), self.labels).backward()
        self.optimiser.step()

    def forward(self) -> None:
        with torch.no_grad():
            self.model(self.images)

    def seconds(self, work: Callable[[], None]) -> float:
        alone = torch.get_num_threads() == 1
        clock = time.process_time if alone else time.perf_counter
        with form_pinned(self.form):
            start = clock()
            work()
            return clock() - start


def objects(channels: int) -> Tensor:
    """Noise squares of sides 17 to 62, each at its own place on black."""
    images = torch.zeros(BATCH_SIZE, channels, IMAGE_SIDE, IMAGE_SIDE)
    for number, image in enumerate(images):
        side = 17 + 3 * number
        corner = (7 * number) % (IMAGE_SIDE - side + 1)
        image[:, corner : corner + side, corner : corner + side] = torch.rand(channels, side, side)
    return images


def product_rate() -> float:
    """Multiplications and additions per second in float32 products of 2048 x 2048 matrices."""
    a, b = torch.rand(2, 2048, 2048)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / statistics.median(times)


def peak_bytes(name: str, channels: int, form: str, threads: int) -> int:
    """What a training step adds to the memory in use; meant for a fresh process."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    bench = Bench(name, channels, form)
    before = peak_resident_bytes()
    bench.seconds(bench.step)
    return peak_resident_bytes() - before


def peak_resident_bytes() -> int:
    """The most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere ru_maxrss; on Linux a new process inherits its parent's
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure(name: str, channels: int, options: argparse.Namespace, threads: int) -> list[str]:
    """One row of the table of times."""
    torch.set_num_threads(threads)
    benches = [Bench(name, channels, form) for form in FORMS]
    for bench in benches:
        bench.seconds(bench.forward if bench.form == PLAIN else bench.step)
    steps, forwards = ({form: [] for form in FORMS} for _ in range(2))
    for _ in range(options.repeats):
        for bench in (benches[0], *FAST_STEPS * benches[1:]):
            steps[bench.form].append(bench.seconds(bench.step))
            forwards[bench.form].append(bench.seconds(bench.forward))
    plain, torch_, compiled = (statistics.median(steps[form]) for form in FORMS)
    _, torch_forward, compiled_forward = (statistics.median(forwards[form]) for form in FORMS)
    wanted = WANTED_RATIO.get(name, (None, None))
    return [
        f"`{name}`",
        f"{channels}",
        f"{threads}",
        f"{plain:.3f}",
        f"{torch_:.4f}",
        f"{compiled:.4f}",
        f"{plain / torch_:.1f}",
        f"{wanted[0]:g}" if wanted[0] else "-",
        f"{torch_ / compiled:.1f}",
        f"{wanted[1]:g}" if wanted[1] else "-",
        f"{torch_forward / compiled_forward:.1f}",
    ]


def measure_memory(
    name: str, channels: int, options: argparse.Namespace, threads: int
) -> list[str]:
    """One row of the table of memory."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = pool.starmap(
            peak_bytes,
            [(name, channels, form, threads) for form in FORMS],
            chunksize=1,
        )
    return [f"`{name}`", f"{channels}", *(f"{size / 2**20:.0f}" for size in memory)]


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(WANTED_RATIO))
    parser.add_argument("--channels", nargs="+", type=int, choices=(1, 3), default=[1, 3])
    parser.add_argument("--repeats", type=int, default=3, help="plain steps of each model")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--memory", action="store_true", help="measure memory, not time")
    options = parser.parse_args(argv)
    for name in ("repeats", "threads"):
        given = getattr(options, name)
        if min(given if isinstance(given, list) else [given]) < 1:
            parser.error(f"--{name} must be at least 1; got {given}.")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    keep_freed_memory()
    rates = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        rate = product_rate() / 1e9
        rates.append(f"{rate:.0f} GFLOP/s on {threads} thread{'s' * (threads > 1)}")
    print(
        f"{processor_name()}, PyTorch {torch.__version__}, {backend()}; "
        f"matrix products at {', '.join(rates)}.\n"
    )
    headings = MEMORY_HEADINGS if options.memory else HEADINGS
    print_head(headings)
    cases = [
        (name, channels, threads)
        for threads in (options.threads[:1] if options.memory else options.threads)
        for name in options.models
        for channels in options.channels
    ]
    with progress_bar("measuring") as progress:
        for done, (name, channels, threads) in enumerate(cases):
            progress(done, len(cases))
            row = (measure_memory if options.memory else measure)(name, channels, options, threads)
            print_row(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
