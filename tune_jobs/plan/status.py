"""The state of the trials in a storage, from the storage alone."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tune_jobs.plan.inventory import Inventory, take_inventory
from tune_jobs.plan.scores import Scores, read_scores
from tune_jobs.plan.searches import SearchStatus, searches_in
from tune_jobs.point import Cell, GridPoint, cell_of
from tune_jobs.records.keys import failure_key
from tune_jobs.records.rental import Rental
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import StudyRecord
from tune_jobs.records.trial import Score
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import Claim
from tune_jobs.storage.reader import (
    list_folder,
    parse_failure,
    parse_study,
    read_each,
)
from tune_jobs.storage.rentals import rentals_in


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedPoint:
    """A point without a record whose last attempt failed. ``error`` is one line."""

    point_id: str
    point: GridPoint
    attempts: int
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningPoint:
    """A point that a process trains; ``point`` is None if no study in the storage has it."""

    point_id: str
    point: GridPoint | None
    claim: Claim


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """Points of each cell and learning rate by state: all with an object, and all of studies.

    Trials of searches that were stopped early are in ``searches`` only. ``scores`` are the
    accuracies of finished points, by point_id; ``rentals`` the machines of each study, by study,
    as far as it is known what they cost.

    ``damaged`` names objects that could not be read, and why; ``strays`` are files that are no
    objects of the storage.
    """

    rates: Mapping[tuple[Cell, float], Mapping[TrialState, int]]
    failed: tuple[FailedPoint, ...]
    running: tuple[RunningPoint, ...]
    studies: tuple[StudyRecord, ...]
    searches: tuple[SearchStatus, ...]
    scores: Mapping[str, Score]
    rentals: Mapping[str, tuple[Rental, ...]]
    damaged: tuple[str, ...]
    strays: tuple[str, ...]

    @property
    def cells(self) -> dict[Cell, Counter[TrialState]]:
        """Points of each cell by state."""
        counted: dict[Cell, Counter[TrialState]] = {}
        for (cell, _), states in self.rates.items():
            counted.setdefault(cell, Counter()).update(states)
        return counted

    @property
    def is_unfinished(self) -> bool:
        """Whether a point is to do or a process trains one."""
        states = (TrialState.TO_DO, TrialState.IN_FLIGHT)
        counted = (*self.rates.values(), *(one.states for one in self.searches))
        return bool(self.running) or any(each.get(state) for each in counted for state in states)


def take_status(storage: Storage, known: Scores | None = None) -> Status:
    """Look at everything in a storage.

    Of records only point and accuracy are read, and not those ``known`` from a look before.
    """
    damaged: list[str] = []
    inventory = take_inventory(storage)
    listed, of_searches = list_folder(storage, "studies"), list_folder(storage, "searches")
    of_costs = list_folder(storage, "costs")
    keys = (item.key for _, item in listed.objects)
    studies = tuple(study for _, study in read_each(storage, keys, parse_study, damaged))
    points = {entry.point_id: entry.point for study in studies for entry in study.points}
    scores = read_scores(storage, sorted(inventory.finished), known, damaged)
    points |= {point_id: score.point for point_id, score in scores.items()}
    failed = tuple(_failed(inventory, storage, damaged))
    rentals = rentals_in(storage, of_costs, damaged)
    points |= {one.point_id: one.point for one in failed}
    rates: dict[tuple[Cell, float], Counter[TrialState]] = {}
    for point_id, point in sorted(points.items(), key=lambda item: _order(item[1])):
        key = (cell_of(point), point.lr)
        rates.setdefault(key, Counter())[inventory.state(point_id)] += 1
    return Status(
        rates=rates,
        failed=failed,
        running=tuple(
            RunningPoint(point_id=point_id, point=points.get(point_id), claim=claim)
            for point_id, claim in sorted(inventory.claims.items())
        ),
        studies=studies,
        searches=searches_in(storage, of_searches, inventory, damaged),
        scores=scores,
        rentals={study: tuple(machines.values()) for study, machines in sorted(rentals.items())},
        damaged=tuple(damaged),
        strays=(*inventory.strays, *listed.strays, *of_searches.strays, *of_costs.strays),
    )


def _failed(inventory: Inventory, storage: Storage, damaged: list[str]) -> Iterator[FailedPoint]:
    """The last attempt at each point that has failed and has no record."""
    failed = sorted(inventory.failed - inventory.finished)
    keys = [failure_key(point_id, inventory.attempts[point_id]) for point_id in failed]
    for _, failure in read_each(storage, keys, parse_failure, damaged):
        yield FailedPoint(
            point_id=failure.point_id,
            point=failure.point,
            attempts=failure.attempt,
            error=failure.error,
        )


def _order(point: GridPoint) -> tuple[str, int, str, float, int]:
    return point.dataset, point.scenario, point.model, point.lr, point.seed
