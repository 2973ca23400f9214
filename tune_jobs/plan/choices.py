"""What the runs of a phase gave, what its rule makes of it, and where that is written down."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tune_jobs.plan.plan import Inventory, OpenedStudy, take_inventory
from tune_jobs.point import Cell, GridPoint, TrialSpec, cell_of
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import Choice, RunEvidence, StudyPoint, StudyRecord, study_key
from tune_jobs.records.trial import FailureRecord, RecordError, TrialRecord, record_key, utc_now
from tune_jobs.storage import Storage
from tune_jobs.study.rules import choose, has_collapsed
from tune_jobs.study.study import Phase

DIVERGED = "DivergedError:"  # how siconvnet.fit's error begins in a failure


def read_records(point_ids: Iterable[str], storage: Storage) -> dict[str, TrialRecord]:
    """The records of finished points; RecordError names one that is damaged."""
    wanted = {record_key(point_id): point_id for point_id in point_ids}
    return {
        wanted[key]: _parsed(wanted[key], content) for key, content in storage.read_many(wanted)
    }


def describe_phase(
    opened: OpenedStudy, storage: Storage, phase: Phase, points: Iterable[GridPoint]
) -> tuple[Choice, ...]:
    """Choose from the runs that there are by the phase's rule, and store the phase as it stands.

    A phase without a rule chooses nothing. What was stored of datasets that are not here is kept.
    """
    specs = [opened.spec(point) for point in points if opened.is_here(point)]
    choices = make_choices(phase.select, specs, storage) if phase.select else ()
    study, key = opened.study, study_key(opened.study.name, phase.name)
    before = _stored(key, storage)
    same_way = before and (before.recipe, before.rule) == (study.recipe, phase.select)
    rates = rates_of(choices)
    record = StudyRecord(
        study=study.name,
        phase=phase.name,
        recipe=study.recipe,
        rule=phase.select,
        points=tuple(_entry(spec, phase, rates) for spec in specs),
        choices=choices,
        written_at=utc_now(),
    )
    if before and same_way:
        away = opened.missing
        record = replace(
            record,
            points=(*record.points, *(p for p in before.points if p.point.dataset in away)),
            choices=(*choices, *(one for one in before.choices if one.cell.dataset in away)),
        )
    if before is None or replace(before, written_at=record.written_at) != record:
        storage.write(key, record.to_json())
    return choices


def make_choices(rule: str, specs: Sequence[TrialSpec], storage: Storage) -> tuple[Choice, ...]:
    """Apply a rule to every cell of a phase."""
    inventory = take_inventory(storage)
    records = read_records(
        (spec.point_id for spec in specs if spec.point_id in inventory.finished), storage
    )
    cells: dict[Cell, dict[float, list[RunEvidence]]] = {}
    for spec in specs:
        run = _run(spec, inventory, records, storage)
        cells.setdefault(cell_of(spec.point), {}).setdefault(spec.point.lr, []).append(run)
    return tuple(choose(rule, cell, runs) for cell, runs in cells.items())


def rates_of(choices: Iterable[Choice]) -> dict[Cell, float]:
    """The learning rate of each cell that has one."""
    return {choice.cell: choice.lr for choice in choices if choice.lr is not None}


def last_failure(point_id: str, storage: Storage) -> FailureRecord:
    """The latest attempt of a failed point."""
    attempts = [item.key for item in storage.list(f"failures/{point_id}")]
    latest = max(attempts, key=lambda key: int(key.rpartition("/")[2].removesuffix(".json")))
    return FailureRecord.from_json(storage.read(latest))


def _run(
    spec: TrialSpec, inventory: Inventory, records: Mapping[str, TrialRecord], storage: Storage
) -> RunEvidence:
    point_id, seed = spec.point_id, spec.point.seed
    if point_id in records:
        record = records[point_id]
        return RunEvidence(
            point_id=point_id,
            seed=seed,
            outcome=TrialState.FINISHED,
            best_valid_accuracy=record.best_valid_accuracy,
            collapsed=has_collapsed(record.best_valid_accuracy, record.num_classes),
        )
    outcome = TrialState.MISSING
    if point_id in inventory.failed - inventory.in_flight:
        diverged = last_failure(point_id, storage).error.startswith(DIVERGED)
        outcome = TrialState.DIVERGED if diverged else TrialState.FAILED
    return RunEvidence(
        point_id=point_id, seed=seed, outcome=outcome, best_valid_accuracy=None, collapsed=None
    )


def _entry(spec: TrialSpec, phase: Phase, rates: Mapping[Cell, float]) -> StudyPoint:
    reported = phase.select is None or rates.get(cell_of(spec.point)) == spec.point.lr
    return StudyPoint(point_id=spec.point_id, point=spec.point, reported=reported)


def _stored(key: str, storage: Storage) -> StudyRecord | None:
    try:
        return StudyRecord.from_json(storage.read(key))
    except FileNotFoundError:
        return None
    except RecordError as error:
        raise RecordError(f"{storage.uri}/{key}: {error} Remove it; it is made again.") from None


def _parsed(point_id: str, content: bytes | Exception) -> TrialRecord:
    try:
        if isinstance(content, Exception):
            raise content
        return TrialRecord.from_json(content)
    except RecordError as error:
        raise RecordError(f"{record_key(point_id)}: {error}") from None
