"""Choose learning rates: read the runs of a phase, apply its rule, store what it chose."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tune_jobs.plan.inventory import Inventory
from tune_jobs.plan.opened import OpenedStudy
from tune_jobs.point import Cell, GridPoint, OpenPoint, TrialSpec, cell_of
from tune_jobs.records.keys import failure_key, study_key
from tune_jobs.records.schema import named, time_of
from tune_jobs.records.state import RunState, TrialState
from tune_jobs.records.study import Choice, RunEvidence, StudyPoint, StudyRecord
from tune_jobs.records.trial import utc_now
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import parse_failure, read_each, read_records, read_study
from tune_jobs.study.rules import choose
from tune_jobs.study.study import Phase


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseRuns:
    """The trials of a phase whose datasets are here, and what each of them gave, by point_id.

    There is no evidence in a phase without a rule. ``stored`` is the phase as it was written down
    before, None if it was not.
    """

    phase: Phase
    specs: tuple[TrialSpec, ...]
    evidence: Mapping[str, RunEvidence]
    stored: StudyRecord | None


def points_at(
    phase: Phase, chosen: Mapping[Cell, float]
) -> tuple[tuple[GridPoint, ...], tuple[OpenPoint, ...]]:
    """A phase's points at the rates chosen so far, and those whose cell is undecided."""
    points: dict[GridPoint, None] = {}
    held: list[OpenPoint] = []
    for point in phase.points:
        if isinstance(point, GridPoint):
            points[point] = None
        elif point.cell in chosen:
            points[point.cell.point(lr=chosen[point.cell], seed=point.seed)] = None
        else:
            held.append(point)
    return tuple(points), tuple(held)


def read_runs(
    opened: OpenedStudy,
    storage: Storage,
    phase: Phase,
    points: Iterable[GridPoint],
    inventory: Inventory,
) -> PhaseRuns:
    """Read what the runs of a phase gave, as far as its rule asks for it.

    Records never change, so that those that the stored phase has as evidence already are not read
    again. Raises RecordError that names a damaged object.
    """
    specs = tuple(opened.spec(point) for point in points if opened.is_here(point))
    with named(f"{storage.uri}/", " Remove it; it is made again."):
        stored = read_study(storage, opened.study.name, phase.name)
    evidence = _evidence(specs, inventory, storage, stored) if phase.select else {}
    return PhaseRuns(phase=phase, specs=specs, evidence=evidence, stored=stored)


def choices_of(runs: PhaseRuns) -> tuple[Choice, ...]:
    """Apply the rule of a phase to each of its cells; without a rule nothing is chosen. Pure."""
    rule = runs.phase.select
    if rule is None:
        return ()
    cells: dict[Cell, dict[float, list[RunEvidence]]] = {}
    for spec in runs.specs:
        rates = cells.setdefault(cell_of(spec.point), {})
        rates.setdefault(spec.point.lr, []).append(runs.evidence[spec.point_id])
    return tuple(choose(rule, cell, rates) for cell, rates in cells.items())


def store_phase(
    opened: OpenedStudy, storage: Storage, runs: PhaseRuns, choices: Sequence[Choice]
) -> None:
    """Write a phase down as it stands, unless that is what was written before.

    What was stored of datasets that are not here is kept.
    """
    study, phase, before = opened.study, runs.phase, runs.stored
    rates = rates_of(choices)
    record = StudyRecord(
        study=study.name,
        phase=phase.name,
        recipe=study.recipe,
        rule=phase.select,
        points=tuple(_entry(spec, phase, rates) for spec in runs.specs),
        choices=tuple(choices),
        written_at=utc_now(),
    )
    if before and (before.recipe, before.rule) == (study.recipe, phase.select):
        away = opened.missing
        record = replace(
            record,
            points=(*record.points, *(p for p in before.points if p.point.dataset in away)),
            choices=(*choices, *(one for one in before.choices if one.cell.dataset in away)),
        )
    if before is None or replace(before, written_at=record.written_at) != record:
        storage.write(study_key(study.name, phase.name), record.to_json())


def rates_of(choices: Iterable[Choice]) -> dict[Cell, float]:
    """The learning rate of each cell that has one."""
    return {choice.cell: choice.lr for choice in choices if choice.lr is not None}


def _evidence(
    specs: Sequence[TrialSpec],
    inventory: Inventory,
    storage: Storage,
    stored: StudyRecord | None,
) -> dict[str, RunEvidence]:
    known = _known(stored, inventory) if stored else {}
    seeds = {spec.point_id: spec.point.seed for spec in specs}
    states = inventory.states(specs)
    finished = [id for id, state in states.items() if state is TrialState.FINISHED]
    failed = [id for id, state in states.items() if state is TrialState.FAILED]
    evidence = {id: _without_result(id, seeds[id], TrialState.MISSING) for id in seeds}
    evidence |= {id: known[id] for id in finished if id in known}
    records = read_records(storage, (id for id in finished if id not in known))
    for id, record in records.items():
        evidence[id] = RunEvidence(
            point_id=id,
            seed=seeds[id],
            outcome=TrialState.FINISHED,
            best_valid_accuracy=record.best_valid_accuracy,
            collapsed=record.collapsed,
        )
    keys = [failure_key(id, inventory.attempts[id]) for id in failed]
    for _, failure in read_each(storage, keys, parse_failure):
        outcome = TrialState.DIVERGED if failure.has_diverged else TrialState.FAILED
        evidence[failure.point_id] = _without_result(
            failure.point_id, seeds[failure.point_id], outcome
        )
    return evidence


def _known(stored: StudyRecord, inventory: Inventory) -> dict[str, RunEvidence]:
    """The evidence in a stored phase of records that were not written again since."""
    written = time_of(stored.written_at).timestamp()
    runs = (run for choice in stored.choices for rate in choice.rates for run in rate.runs)
    return {
        run.point_id: run
        for run in runs
        if run.outcome is TrialState.FINISHED
        if (item := inventory.records.get(run.point_id)) and item.modified <= written
    }


def _without_result(point_id: str, seed: int, outcome: RunState) -> RunEvidence:
    return RunEvidence(
        point_id=point_id, seed=seed, outcome=outcome, best_valid_accuracy=None, collapsed=None
    )


def _entry(spec: TrialSpec, phase: Phase, rates: Mapping[Cell, float]) -> StudyPoint:
    reported = phase.select is None or rates.get(cell_of(spec.point)) == spec.point.lr
    return StudyPoint(point_id=spec.point_id, point=spec.point, reported=reported)
