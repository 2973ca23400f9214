"""Many histories on some processor cores, and what came of them."""

import gc
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

CHUNK = 250  # histories that a process is given at a time
GARBAGE = 20_000  # objects more than there were, until garbage is looked for
KEPT = 3  # histories with a violation, of each chunk, that are shown


@dataclass(slots=True)
class Tally:
    """What came of some histories; ``failed`` are the seeds of those with a violation.

    ``shown`` has some of these as text, each with the fewest faults it takes.
    """

    histories: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.histories += other.histories
        self.faults += other.faults
        self.failed += other.failed
        self.shown += other.shown[: max(0, KEPT - len(self.shown))]


def tally(seeds: Sequence[int], *, defect: str = "none", archives: bool | None = None) -> Tally:
    """Play the histories of some seeds in this process, with one of the known defects."""
    import torch

    from lab.simulation.defects import DEFECTS
    from lab.simulation.history import theatre

    torch.set_num_threads(1)
    result = Tally()
    with theatre() as stage, DEFECTS[defect](), _garbage_kept_longer():
        for seed in seeds:
            history = stage.play(seed, archives=archives)
            result.histories += 1
            result.faults += history.struck
            if history.violations:
                result.failed.append(seed)
                if len(result.shown) < KEPT:
                    result.shown.append(str(stage.shrink(history, archives=archives)))
    return result


@contextmanager
def _garbage_kept_longer() -> Iterator[None]:
    """Look for garbage less often, and not among what is there now: all of torch and Ray."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GARBAGE, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def tallies(seeds: range, *, jobs: int, defect: str = "none") -> Iterator[Tally]:
    """Play the histories of many seeds in processes of their own; a tally for each chunk."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(tally, defect=defect), chunks)
