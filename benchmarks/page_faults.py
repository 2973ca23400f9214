"""What a training step gains where its process keeps the memory that it frees.

    python -m benchmarks.page_faults --models slice_pool kanazawa

Trains each model for some steps in processes of their own, in a thread that is not the first, as
Ray's trials do, without and with ``tune_jobs.trial.memory``. Prints the medians of processor time
of a step, its page faults, the most memory that the process has held, and whether all losses were
equal, as Markdown.
"""

import multiprocessing
import resource
import statistics
import sys
import threading
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from benchmarks.command_line import parser_of, print_head, print_row
from benchmarks.layers import COMPILED, Bench, peak_resident_bytes
from siconvnet import MODELS
from siconvnet.fast import backend
from stir.cores import processor_name
from stir.terminal import progress_bar
from tune_jobs.trial.memory import keep_freed_memory

WARM_STEPS = 4
HEADINGS = ("model", "s a step", "kept, s", "page faults", "kept", "peak, MB", "kept, MB", "losses")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Steps of one model in one process."""

    seconds: float  # median, of processor time
    faults: float  # mean
    peak_bytes: int
    losses: tuple[float, ...]


def measure(name: str, steps: int, kept: bool) -> Measured:
    """Train a model in a thread; meant for a fresh process."""
    if kept:
        keep_freed_memory()
    torch.set_num_threads(1)
    found: list[Measured] = []
    thread = threading.Thread(target=lambda: found.append(train(name, steps)))
    thread.start()
    thread.join()
    return found[0]


def train(name: str, steps: int) -> Measured:
    """Steps of one model, after some that are not counted."""
    bench = Bench(name, 1, COMPILED)
    seconds: list[float] = []
    losses: list[float] = []
    faults = 0
    for number in range(WARM_STEPS + steps):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        spent = bench.seconds(bench.step)
        if number >= WARM_STEPS:
            seconds.append(spent)
            faults += resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
            with torch.no_grad():
                losses.append(F.cross_entropy(bench.model(bench.images), bench.labels).item())
    return Measured(
        seconds=statistics.median(seconds),
        faults=faults / steps,
        peak_bytes=peak_resident_bytes(),
        losses=tuple(losses),
    )


def row(name: str, steps: int) -> list[str]:
    """One row of the table."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        given, kept = pool.starmap(
            measure, [(name, steps, False), (name, steps, True)], chunksize=1
        )
    return [
        f"`{name}`",
        f"{given.seconds:.4f}",
        f"{kept.seconds:.4f}",
        f"{given.faults:.0f}",
        f"{kept.faults:.0f}",
        f"{given.peak_bytes / 2**20:.0f}",
        f"{kept.peak_bytes / 2**20:.0f}",
        "equal" if given.losses == kept.losses else "DIFFERENT",
    ]


def main(argv: list[str] | None = None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args(argv)
    print(f"{processor_name()}, 1 thread, PyTorch {torch.__version__}, {backend()}.\n")
    print_head(HEADINGS)
    with progress_bar("measuring") as progress:
        for done, name in enumerate(options.models):
            progress(done, len(options.models))
            print_row(row(name, options.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
