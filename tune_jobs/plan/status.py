"""The state of the trials in a storage, from the storage alone."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tune_jobs.plan.inventory import Inventory, take_inventory
from tune_jobs.plan.searches import SearchStatus, searches_in
from tune_jobs.point import Cell, GridPoint, cell_of
from tune_jobs.records.keys import failure_key, point_id_of, record_key
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import StudyRecord
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import Claim
from tune_jobs.storage.reader import (
    list_folder,
    parse_failure,
    parse_point,
    parse_study,
    read_each,
)


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
    """Points of each cell by state: all that have a record or a failure, and all of studies.

    Trials of searches that were stopped early are in ``searches`` only.

    ``damaged`` names objects that could not be read, and why; ``strays`` are files that are no
    objects of the storage.
    """

    cells: Mapping[Cell, Mapping[TrialState, int]]
    failed: tuple[FailedPoint, ...]
    running: tuple[RunningPoint, ...]
    studies: tuple[StudyRecord, ...]
    searches: tuple[SearchStatus, ...]
    damaged: tuple[str, ...]
    strays: tuple[str, ...]


def take_status(storage: Storage) -> Status:
    """Look at everything in a storage. Records are opened only if no study has their points."""
    damaged: list[str] = []
    inventory = take_inventory(storage)
    listed, of_searches = list_folder(storage, "studies"), list_folder(storage, "searches")
    keys = (item.key for _, item in listed.objects)
    studies = tuple(study for _, study in read_each(storage, keys, parse_study, damaged))
    points = {entry.point_id: entry.point for study in studies for entry in study.points}
    alone = map(record_key, sorted(inventory.finished - points.keys()))
    points |= {
        point_id_of(key) or "": point
        for key, point in read_each(storage, alone, parse_point, damaged)
    }
    failed = tuple(_failed(inventory, storage, damaged))
    points |= {one.point_id: one.point for one in failed}
    cells: dict[Cell, Counter[TrialState]] = {}
    for point_id, point in sorted(points.items(), key=lambda item: _order(item[1])):
        cells.setdefault(cell_of(point), Counter())[inventory.state(point_id)] += 1
    return Status(
        cells=cells,
        failed=failed,
        running=tuple(
            RunningPoint(point_id=point_id, point=points.get(point_id), claim=claim)
            for point_id, claim in sorted(inventory.claims.items())
        ),
        studies=studies,
        searches=searches_in(storage, of_searches, inventory, damaged),
        damaged=tuple(damaged),
        strays=(*inventory.strays, *listed.strays, *of_searches.strays),
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
