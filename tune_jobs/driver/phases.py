"""A study from its first phase to its last: run, select, write down what was chosen, go on."""

import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.choices import choices_of, points_at, rates_of, read_runs, store_phase
from tune_jobs.plan.cost import costliest_first
from tune_jobs.plan.inventory import Inventory, take_inventory
from tune_jobs.plan.opened import OpenedStudy, Plan
from tune_jobs.point import Cell, GridPoint, TrialSpec, cell_of
from tune_jobs.records.state import POINT_STATES, TrialState
from tune_jobs.records.study import Choice
from tune_jobs.storage import Storage
from tune_jobs.study.study import Phase
from tune_jobs.study.subset import Only

if TYPE_CHECKING:
    from tune_jobs.driver.runner import RunSummary

Runner = Callable[[Plan, float | None], "RunSummary"]  # trials to run, seconds to stop after


class Budget:
    """Where a run ends though there is more to do; None is no limit."""

    def __init__(self, *, seconds: float | None = None, points: int | None = None) -> None:
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._points = points

    @property
    def seconds_left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def is_spent(self) -> bool:
        return self._points == 0 or self.seconds_left == 0

    def take(self, specs: Sequence[TrialSpec]) -> tuple[TrialSpec, ...]:
        """The first of some trials, as many as are left; they count as run."""
        if self.is_spent:
            return ()
        taken = tuple(specs[: self._points])
        if self._points is not None:
            self._points -= len(taken)
        return taken


@dataclass(slots=True)
class StudySummary:
    """How the points that were asked for stand after a run.

    ``held`` points wait for the learning rate of a cell; ``undecided`` are those cells that have
    been tried. ``broken`` are the errors of trials that could not even store their failure,
    ``strays`` files in the storage that are no objects of it.
    """

    states: dict[str, TrialState] = field(default_factory=dict)
    held: int = 0
    undecided: dict[Cell, Choice] = field(default_factory=dict)
    interrupted: bool = False
    broken: list[str] = field(default_factory=list)
    strays: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        finished = all(state == TrialState.FINISHED for state in self.states.values())
        return finished and not self.held and not self.broken


def run_study(
    opened: OpenedStudy,
    storage: Storage,
    *,
    only: Only | None = None,
    budget: Budget | None = None,
    retry_failed: bool = False,
    checkpoint_seconds: float = 60.0,
    max_concurrent: int | None = None,
    address: str = "local",
    price: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> StudySummary:
    """Run a study as ``run_phases`` does, on a Ray of this machine or the cluster at an address.

    Ray is loaded only if there is something to run. ``price`` is money an hour, shown as it adds
    up. Raises TuneJobsError for a search, which ``run_search`` runs.
    """
    if opened.study.search:
        raise TuneJobsError(
            f"A study to run in phases must have some; {opened.study.name} is a search: run_search."
        )

    def run(plan: Plan, stop_after_seconds: float | None) -> "RunSummary":
        from tune_jobs.driver.runner import run_plan

        return run_plan(
            plan,
            storage,
            checkpoint_seconds=checkpoint_seconds,
            max_concurrent=max_concurrent,
            retry_failed=retry_failed,
            stop_after_seconds=stop_after_seconds,
            address=address,
            price=price,
        )

    return run_phases(
        opened, storage, run, only=only, budget=budget, retry_failed=retry_failed, say=say
    )


def run_phases(
    opened: OpenedStudy,
    storage: Storage,
    run: Runner,
    *,
    only: Only | None = None,
    budget: Budget | None = None,
    retry_failed: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> StudySummary:
    """Run what each phase still has to do, then let its rule choose what later ones run at.

    ``run`` gets the trials to do, phase by phase. An undecided cell holds back its own points
    only. Raises, before anything runs, StirError if a dataset of the points asked for is missing
    and OSError if the storage cannot be written.
    """
    only, budget, summary = only or Only({}), budget or Budget(), StudySummary()
    require_datasets(opened, only)
    storage.check_writable()
    wanted = {TrialState.TO_DO, TrialState.IN_FLIGHT} | (
        {TrialState.FAILED} if retry_failed else set()
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
            say(
                f"{title}: a learning rate is chosen for {len(rates_of(made))} of {len(made)} cells"
            )
    return summary


def counts(states: Mapping[str, TrialState]) -> str:
    """How many points are in which state, in words."""
    numbers = Counter(states.values())
    return ", ".join(f"{numbers[state]:,} {state}" for state in POINT_STATES if numbers[state])


def require_datasets(
    opened: OpenedStudy, only: Only, *, elsewhere: Container[str] = frozenset()
) -> None:
    """Raise the error of a missing dataset that points asked for are of, or may be drawn with.

    One that is ``elsewhere`` is not missed.
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
    """Let a phase's rule choose from the runs that there are, and write down how it stands."""
    runs = read_runs(opened, storage, phase, points, inventory)
    choices = choices_of(runs)
    store_phase(opened, storage, runs, choices)
    return choices


def _title(opened: OpenedStudy, phase: Phase) -> str:
    study = opened.study
    return f"study {study.name}" + (f", phase {phase.name}" if len(study.phases) > 1 else "")
