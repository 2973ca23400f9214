"""A study from its first phase to its last: run a phase, choose by its rule, store, go on."""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stir.terminal import counted
from tune_jobs.driver.budget import Budget
from tune_jobs.driver.options import RunOptions
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.choices import choices_of, points_at, rates_of, read_runs, store_phase
from tune_jobs.plan.cost import Here, costliest_first
from tune_jobs.plan.inventory import Inventory, take_inventory
from tune_jobs.plan.opened import OpenedStudy, Plan
from tune_jobs.plan.outlook import expect_trials
from tune_jobs.point import Cell, GridPoint, cell_of
from tune_jobs.records.state import POINT_STATES, TrialState
from tune_jobs.records.study import Choice
from tune_jobs.storage import Storage
from tune_jobs.study.study import Phase
from tune_jobs.study.subset import Only

if TYPE_CHECKING:
    from tune_jobs.driver.runner import RunSummary

Runner = Callable[[Plan, float | None], "RunSummary"]  # trials to run, seconds to stop after


@dataclass(slots=True)
class StudySummary:
    """How the points that were asked for stand after a run.

    ``held`` points wait for the learning rate of a cell; ``undecided`` are the cells whose rule
    was applied and chose none. ``spent`` is what the study has cost when that has reached its
    budget, and so ended it. ``broken`` are the errors of trials that could not even store their
    failure, ``strays`` files in the storage that are no objects of it.
    """

    states: dict[str, TrialState] = field(default_factory=dict)
    held: int = 0
    undecided: dict[Cell, Choice] = field(default_factory=dict)
    interrupted: bool = False
    spent: float | None = None
    broken: list[str] = field(default_factory=list)
    strays: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        finished = all(state == TrialState.FINISHED for state in self.states.values())
        return finished and not self.held and not self.broken


def run_study(
    opened: OpenedStudy,
    storage: Storage,
    options: RunOptions | None = None,
    *,
    only: Only | None = None,
    budget: Budget | None = None,
    say: Callable[[str], None] = lambda line: None,
    **more: Any,
) -> StudySummary:
    """Run a study as ``run_phases`` does, on a Ray of this machine or on a cluster.

    Fields of RunOptions may be given by themselves, such as ``max_concurrent=2``; ``budget`` stands
    for ``stop_after_seconds`` and ``stop_after_points``. Ray is loaded only if there is something
    to run. Raises TuneJobsError for a search, which ``run_search`` runs.
    """
    if opened.study.search:
        raise TuneJobsError(
            f"A study to run in phases must have some; {opened.study.name} is a search: run_search."
        )
    if budget:
        more |= {
            "stop_after_seconds": budget.seconds_left,
            "stop_after_points": budget.points_left,
        }
    options = replace(options or RunOptions(), **more)

    def run(plan: Plan, stop_after_seconds: float | None) -> "RunSummary":
        from tune_jobs.driver.runner import run_plan
        from tune_jobs.trial.calibrate import machine_of_trials

        trials = expect_trials(
            opened,
            storage,
            take_inventory(storage),
            here=Here.of_calibration(machine_of_trials(storage, opened.study.resources)),
        )
        limited = replace(options, stop_after_seconds=stop_after_seconds)
        return run_plan(plan, storage, limited, trials)

    return run_phases(opened, storage, run, options, only=only, say=say)


def run_phases(
    opened: OpenedStudy,
    storage: Storage,
    run: Runner,
    options: RunOptions,
    *,
    only: Only | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> StudySummary:
    """Run what each phase still has to do, then let its rule choose the rates of later ones.

    ``run`` gets the trials to do, phase by phase. An undecided cell holds back its own points
    only. Raises, before anything runs, StirError if a dataset of the points asked for is missing
    and OSError if the storage cannot be written.
    """
    only, summary = only or Only({}), StudySummary()
    budget = Budget(seconds=options.stop_after_seconds, points=options.stop_after_points)
    require_datasets(opened, only)
    storage.check_writable()
    wanted = {TrialState.TO_DO, TrialState.IN_FLIGHT} | (
        {TrialState.FAILED} if options.retry_failed else set()
    )
    choices: dict[Cell, Choice] = {}
    inventory = take_inventory(storage)
    summary.strays = inventory.strays
    for phase in opened.study.phases:
        points, held = points_at(phase, rates_of(choices.values()))
        held = [point for point in held if only.keeps(point)]
        summary.held += len(held)
        summary.undecided |= {p.cell: choices[p.cell] for p in held if p.cell in choices}
        plan = opened.plan(point for point in points if only.keeps(point))
        states = inventory.states(plan.specs)
        made = _choose(opened, storage, phase, points, inventory)
        open_specs = [spec for spec in plan.specs if states[spec.point_id] in wanted]
        title = _title(opened, phase)
        todo = () if summary.interrupted else budget.take(open_specs)
        if not phase.in_order:
            todo = costliest_first(todo, opened.images_per_scale)
        if todo:
            say(f"{title}: {counts(states)}; storage {storage.uri}")
            ended = run(replace(plan, specs=todo), budget.seconds_left)
            summary.spent = ended.spent
            summary.interrupted = ended.stopped and budget.seconds_left != 0
            summary.broken += ended.broken
            inventory = take_inventory(storage)
            states = inventory.states(plan.specs)
            made = _choose(opened, storage, phase, points, inventory)
        elif not open_specs:
            say(f"{title}: nothing is left to do")
        summary.states |= states
        choices |= {choice.cell: choice for choice in made}
        if made:
            cells = counted(len(made), "cell")
            say(f"{title}: a learning rate is chosen for {len(rates_of(made))} of {cells}")
    return summary


def counts(states: Mapping[str, TrialState]) -> str:
    """How many points are in which state, as a phrase."""
    numbers = Counter(states.values())
    return ", ".join(f"{numbers[state]:,} {state}" for state in POINT_STATES if numbers[state])


def require_datasets(
    opened: OpenedStudy, only: Only, *, elsewhere: Container[str] = frozenset()
) -> None:
    """Raise the error of a missing dataset that the points asked for use, or may be drawn with.

    A dataset that is ``elsewhere`` does not count as missing.
    """
    if opened.study.search:
        for name, error in opened.missing.items():
            if name not in elsewhere:
                raise error
    for phase in opened.study.phases:
        for point in phase.points:
            name = cell_of(point).dataset
            if only.keeps(point) and name in opened.missing and name not in elsewhere:
                raise opened.missing[name]


def _choose(
    opened: OpenedStudy,
    storage: Storage,
    phase: Phase,
    points: Sequence[GridPoint],
    inventory: Inventory,
) -> tuple[Choice, ...]:
    """Let a phase's rule choose from the runs that there are, and store how the phase stands."""
    runs = read_runs(opened, storage, phase, points, inventory)
    choices = choices_of(runs)
    store_phase(opened, storage, runs, choices)
    return choices


def _title(opened: OpenedStudy, phase: Phase) -> str:
    study = opened.study
    return f"study {study.name}" + (f", phase {phase.name}" if len(study.phases) > 1 else "")
