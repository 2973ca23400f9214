"""How well finished points did on the test images, cell by cell and rate by rate, best first."""

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from statistics import fmean

from stir.terminal import step
from tune_jobs.point import Cell, cell_of
from tune_jobs.records.keys import point_id_of, record_key
from tune_jobs.records.trial import Score
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import parse_score, read_each

Scores = MutableMapping[str, Score]  # by point_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The test accuracies (0..1) of one cell at one learning rate, one for each seed."""

    cell: Cell
    lr: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.accuracies)


def read_scores(
    storage: Storage,
    point_ids: Iterable[str],
    known: Scores | None = None,
    damaged: list[str] | None = None,
) -> dict[str, Score]:
    """The scores of points that have a record; those ``known`` are not read again.

    ``damaged`` gets a sentence for each record that cannot be used; without it, they are left out.
    """
    wanted = list(point_ids)
    known = {} if known is None else known
    keys = (record_key(point_id) for point_id in wanted if point_id not in known)
    found = read_each(storage, keys, parse_score, [] if damaged is None else damaged)
    with step("reading records"):
        known.update({point_id_of(key) or "": score for key, score in found})
    return {point_id: known[point_id] for point_id in wanted if point_id in known}


def standings(scores: Iterable[Score]) -> list[Standing]:
    """By dataset and scenario, then the best first; learning rates are never averaged."""
    found: dict[tuple[Cell, float], list[float]] = {}
    for score in scores:
        key = (cell_of(score.point), score.point.lr)
        found.setdefault(key, []).append(score.test_accuracy)
    made = [
        Standing(cell=cell, lr=lr, accuracies=tuple(sorted(accuracies)))
        for (cell, lr), accuracies in found.items()
    ]
    return sorted(
        made,
        key=lambda one: (one.cell.dataset, one.cell.scenario, -one.mean, one.cell.label, one.lr),
    )


def contests(made: Iterable[Standing]) -> Iterator[int]:
    """The number of the first standing of each dataset and scenario."""
    before = None
    for number, one in enumerate(made):
        here = (one.cell.dataset, one.cell.scenario)
        if here != before:
            yield number
        before = here
