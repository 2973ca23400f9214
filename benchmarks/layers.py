"""Seconds and memory of a training step, fast beside plain, for every model of the benchmark.

    python -m benchmarks.layers --models pixel_pool slice_pool --channels 1

A step is forward, backward and Adam on 16 images of 64 x 64 pixels, kernel size 7, bicubic,
float32. Plain and fast steps alternate in one process, three fast ones after each plain one;
figures are medians. "Forward" is the model's answer without autograd. Memory is what a step adds at
its peak, in a process of its own. The last column is the share of the machine's matrix-product rate
that the fast step's own products reach. The table is Markdown on stdout; progress goes to stderr.
"""

import argparse
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from siconvnet import MODELS, build_model
from stir.terminal import progress_bar

BATCH_SIZE, IMAGE_SIDE, NUM_CLASSES = 16, 64, 36
FAST_STEPS = 3  # for each plain one
WANTED_RATIO = {  # of training steps; two figures where one and three channels differ
    "standard": (1.6, 1.6),
    "pixel_pool": (25, 15),
    "slice_pool": (25, 15),
    "energy_pool": (25, 15),
    "conv3d": (5, 5),
    "ensemble": (2, 2),
    "spatial_transform": (1.4, 1.4),
    "xu": (4, 4),
    "kanazawa": (2.2, 2.2),
    "hermite": (5, 5),
    "disco": (3.5, 3.5),
}
WANTED_FORWARD_RATIO = {"pixel_pool": 4, "slice_pool": 4, "energy_pool": 3.5, "conv3d": 1.8}
HEADINGS = (
    "model",
    "channels",
    "plain, s",
    "fast, s",
    "ratio",
    "wanted",
    "forward ratio",
    "wanted",
    "plain, MB",
    "fast, MB",
    "GFLOP",
    "share of rate",
)


class Bench:
    """A model, its optimiser and one batch of objects of many sizes on black."""

    def __init__(self, name: str, channels: int, device: str, *, plain: bool) -> None:
        torch.manual_seed(1)
        self.device = torch.device(device)
        self.model: nn.Module = build_model(
            name, in_channels=channels, num_classes=NUM_CLASSES, plain=plain
        ).to(self.device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.images = objects(channels).to(self.device)
        self.labels = torch.arange(BATCH_SIZE, device=self.device)

    def step(self) -> None:
        self.optimiser.zero_grad()
        F.cross_entropy(self.model(self.images), self.labels).backward()
        self.optimiser.step()

    def forward(self) -> None:
        with torch.no_grad():
            self.model(self.images)

    def seconds(self, work: Callable[[], None]) -> float:
        self.synchronise()
        start = time.perf_counter()
        work()
        self.synchronise()
        return time.perf_counter() - start

    def synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def objects(channels: int) -> Tensor:
    """Noise squares of sides 17 to 62, each at its own place on black."""
    images = torch.zeros(BATCH_SIZE, channels, IMAGE_SIDE, IMAGE_SIDE)
    for number, image in enumerate(images):
        side = 17 + 3 * number
        corner = (7 * number) % (IMAGE_SIDE - side + 1)
        image[:, corner : corner + side, corner : corner + side] = torch.rand(channels, side, side)
    return images


def product_rate(device: str) -> float:
    """Multiplications and additions per second in float32 products of 2048 x 2048 matrices."""
    a, b = torch.rand(2, 2048, 2048, device=device)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        (a @ b)[0, 0].item()
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / statistics.median(times)


def peak_bytes(name: str, channels: int, device: str, plain: bool, threads: int) -> int:
    """What a training step adds to the memory in use; meant for a fresh process."""
    torch.set_num_threads(threads)
    bench = Bench(name, channels, device, plain=plain)
    if bench.device.type == "cuda":
        before = torch.cuda.memory_allocated(bench.device)
        bench.step()
        return torch.cuda.max_memory_allocated(bench.device) - before
    before = peak_resident_bytes()
    bench.step()
    return peak_resident_bytes() - before


def peak_resident_bytes() -> int:
    """The most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere ru_maxrss; on Linux a new process inherits its parent's
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure(name: str, channels: int, device: str, repeats: int, rate: float) -> list[str]:
    """One row of the table."""
    plain, fast = (Bench(name, channels, device, plain=plain) for plain in (True, False))
    with FlopCounterMode(display=False) as counter:
        fast.step()
    plain.forward()
    steps: dict[Bench, list[float]] = {plain: [], fast: []}
    forwards: dict[Bench, list[float]] = {plain: [], fast: []}
    for _ in range(repeats):
        for bench, times in ((plain, 1), (fast, FAST_STEPS)):
            steps[bench] += [bench.seconds(bench.step) for _ in range(times)]
            forwards[bench] += [bench.seconds(bench.forward) for _ in range(times)]
    plain_seconds, fast_seconds = (statistics.median(steps[bench]) for bench in (plain, fast))
    plain_forward, fast_forward = (statistics.median(forwards[bench]) for bench in (plain, fast))
    threads = torch.get_num_threads()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = pool.starmap(
            peak_bytes,
            [(name, channels, device, form, threads) for form in (True, False)],
            chunksize=1,
        )
    wanted = WANTED_RATIO.get(name)
    return [
        f"`{name}`",
        f"{channels}",
        f"{plain_seconds:.3f}",
        f"{fast_seconds:.4f}",
        f"{plain_seconds / fast_seconds:.1f}",
        f"{wanted[channels > 1]:g}" if wanted else "-",
        f"{plain_forward / fast_forward:.1f}",
        f"{WANTED_FORWARD_RATIO.get(name, '-')}",
        *(f"{size / 2**20:.0f}" for size in memory),
        f"{counter.get_total_flops() / 1e9:.1f}",
        f"{counter.get_total_flops() / fast_seconds / rate:.0%}",
    ]


def processor(device: str) -> str:
    """The name of what computes."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def parse(argv: list[str] | None) -> argparse.Namespace:
    lines = (__doc__ or "").strip().split("\n\n")
    parser = argparse.ArgumentParser(
        description=lines[0],
        epilog=f"example:\n{lines[1]}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(WANTED_RATIO))
    parser.add_argument("--channels", nargs="+", type=int, choices=(1, 3), default=[1, 3])
    parser.add_argument("--repeats", type=int, default=3, help="plain steps of each model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ...")
    options = parser.parse_args(argv)
    for name in ("repeats", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1; got {getattr(options, name)}.")
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        parser.error(f"--device must be one that this PyTorch can use: {reason}")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    torch.set_num_threads(options.threads)
    rate = product_rate(options.device)
    print(
        f"{processor(options.device)}, {options.threads} threads, PyTorch {torch.__version__}, "
        f"matrix products at {rate / 1e9:.0f} GFLOP/s.\n"
    )
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + "---|" * len(HEADINGS))
    cases = [(name, channels) for name in options.models for channels in options.channels]
    with progress_bar("measuring") as progress:
        for done, (name, channels) in enumerate(cases):
            progress(done, len(cases))
            row = measure(name, channels, options.device, options.repeats, rate)
            print("| " + " | ".join(row) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
