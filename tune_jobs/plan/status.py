"""How the trials in a storage stand, from the storage alone."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from tune_jobs.plan.choices import last_failure
from tune_jobs.plan.plan import take_inventory
from tune_jobs.point import Cell, GridPoint, cell_of
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import StudyRecord
from tune_jobs.records.trial import RecordError, record_key
from tune_jobs.search.outlook import SearchStatus, searches_in
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import Claim, read_claim


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedPoint:
    """A point without a record whose last attempt failed. ``error`` is one line."""

    point_id: str
    point: GridPoint
    attempts: int
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningPoint:
    """A point that somebody is at; ``point`` is None if no study in the storage has it."""

    point_id: str
    point: GridPoint | None
    claim: Claim


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """Points of each cell by state: all that have a record or a failure, and all of studies.

    Trials of searches that were stopped early are in ``searches`` only.

    ``damaged`` names objects that could not be read, and why.
    """

    cells: Mapping[Cell, Mapping[TrialState, int]]
    failed: tuple[FailedPoint, ...]
    running: tuple[RunningPoint, ...]
    studies: tuple[StudyRecord, ...]
    searches: tuple[SearchStatus, ...]
    damaged: tuple[str, ...]


def take_status(storage: Storage) -> Status:
    """Look at everything in a storage. Records are opened only if no study has their points."""
    damaged: list[str] = []
    inventory = take_inventory(storage)
    studies = tuple(_studies(storage, damaged))
    points = {entry.point_id: entry.point for study in studies for entry in study.points}
    points |= _points_of_records(inventory.finished - points.keys(), storage, damaged)
    failed = tuple(_failed(inventory.failed - inventory.finished, storage, damaged))
    points |= {one.point_id: one.point for one in failed}
    claims = ((point_id, read_claim(storage, point_id)) for point_id in sorted(inventory.in_flight))
    cells: dict[Cell, Counter[TrialState]] = {}
    for point_id, point in sorted(points.items(), key=lambda item: _order(item[1])):
        cells.setdefault(cell_of(point), Counter())[inventory.state(point_id)] += 1
    return Status(
        cells=cells,
        failed=failed,
        running=tuple(
            RunningPoint(point_id=point_id, point=points.get(point_id), claim=claim)
            for point_id, claim in claims
            if claim
        ),
        studies=studies,
        searches=searches_in(storage, inventory, damaged),
        damaged=tuple(damaged),
    )


def _studies(storage: Storage, damaged: list[str]) -> Iterable[StudyRecord]:
    for item in storage.list("studies"):
        try:
            yield StudyRecord.from_json(storage.read(item.key))
        except RecordError as error:
            damaged.append(f"{item.key}: {error}")


def _points_of_records(
    point_ids: Iterable[str], storage: Storage, damaged: list[str]
) -> dict[str, GridPoint]:
    """Only the point of each record, which is quicker than to check it whole."""
    wanted = {record_key(point_id): point_id for point_id in sorted(point_ids)}
    axes = {field.name for field in fields(GridPoint)}
    points: dict[str, GridPoint] = {}
    for key, content in storage.read_many(wanted):
        try:
            if isinstance(content, Exception):
                raise content
            found = json.loads(content)["point"]
            points[wanted[key]] = GridPoint(**{axis: found[axis] for axis in axes})
        except (ValueError, KeyError, TypeError) as error:
            damaged.append(f"{key}: {type(error).__name__}: {error}")
    return points


def _failed(
    point_ids: Iterable[str], storage: Storage, damaged: list[str]
) -> Iterable[FailedPoint]:
    for point_id in sorted(point_ids):
        try:
            failure = last_failure(point_id, storage)
        except RecordError as error:
            damaged.append(f"failures/{point_id}: {error}")
        else:
            yield FailedPoint(
                point_id=point_id,
                point=failure.point,
                attempts=failure.attempt,
                error=failure.error,
            )


def _order(point: GridPoint) -> tuple[str, int, str, float, int]:
    return point.dataset, point.scenario, point.model, point.lr, point.seed
