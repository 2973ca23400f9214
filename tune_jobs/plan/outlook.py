"""What a study has left to do: the cells of all phases, counted and timed; starts nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tune_jobs.plan.choices import choices_of, points_at, rates_of, read_runs
from tune_jobs.plan.cost import Expectation, Here, Source, expect, measure
from tune_jobs.plan.inventory import Inventory
from tune_jobs.plan.opened import OpenedStudy
from tune_jobs.point import Cell, GridPoint, OpenPoint, cell_of
from tune_jobs.records.state import POINT_STATES, TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import read_records
from tune_jobs.study.study import Phase

SAMPLE = 3  # records read of a cell to learn how long its trials take


@dataclass(frozen=True, kw_only=True, slots=True)
class CellOutlook:
    """A cell in a phase.

    ``states`` count its points, ``waiting`` those whose learning rate is not chosen yet.
    ``repeated`` of all these stand in an earlier phase already; ``left`` are the others that
    are still to be finished, failed ones excepted. ``trial`` is None where nothing is known.
    """

    cell: Cell
    rates: tuple[float, ...]
    states: Mapping[TrialState, int]
    waiting: int
    repeated: int
    left: int
    trial: Expectation | None

    @property
    def points(self) -> int:
        return sum(self.states.values()) + self.waiting

    @property
    def seconds_left(self) -> float:
        return self.left * self.trial.seconds if self.trial else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseOutlook:
    """A phase's cells, in the order of their first points."""

    phase: Phase
    cells: tuple[CellOutlook, ...]

    @property
    def points(self) -> int:
        return sum(cell.points for cell in self.cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """A whole study: ``distinct`` points to train, of which ``reported`` count in its tables."""

    phases: tuple[PhaseOutlook, ...]
    distinct: int
    reported: int

    @property
    def cells(self) -> list[CellOutlook]:
        return [cell for phase in self.phases for cell in phase.cells]

    @property
    def trial_seconds_left(self) -> float | None:
        """The time that trials will take; None where nothing is known of a model to be run."""
        if any(cell.left and cell.trial is None for cell in self.cells):
            return None
        return self.known_seconds_left

    @property
    def known_seconds_left(self) -> float:
        """The time that trials will take, as far as it is known."""
        return sum(cell.seconds_left for cell in self.cells)

    @property
    def longest_seconds_left(self) -> float:
        """The time that the longest trial will take, of those that are known."""
        return max(
            (cell.trial.seconds for cell in self.cells if cell.left and cell.trial), default=0
        )

    @property
    def sources(self) -> frozenset[Source]:
        """Where the times of trials are from."""
        return frozenset(cell.trial.source for cell in self.cells if cell.trial)


def look_ahead(
    opened: OpenedStudy,
    storage: Storage,
    inventory: Inventory,
    here: Here | None = None,
) -> Outlook:
    """Count and time what a study has left to do.

    ``here`` is the machine that the trials will run on; None: any that has left records.

    Points of a dataset that is not here are counted as to do, timed by the size that the
    catalogue gives.
    """
    ids = {
        point: opened.spec(point).point_id if opened.is_here(point) else None
        for point in opened.study.points
    }
    trials = expect_trials(opened, storage, inventory, here=here)
    rates: dict[Cell, float] = {}
    selected = {cell_of(p) for phase in opened.study.phases if phase.select for p in phase.points}
    seen: set[GridPoint | OpenPoint] = set()
    reported: set[tuple[Cell, int, float | None]] = set()
    phases: list[PhaseOutlook] = []
    for phase in opened.study.phases:
        points, held = points_at(phase, rates)
        seats = {(cell_of(point), point.seed) for point in seen}
        tallies: dict[Cell, _Tally] = {cell_of(point): _Tally() for point in phase.points}
        for point in points:
            point_id = ids.get(point) or (opened.is_here(point) and opened.spec(point).point_id)
            state = inventory.state(point_id) if point_id else TrialState.TO_DO
            tallies[cell_of(point)].add(point, state, repeated=point in seen)
            lr = None if cell_of(point) in selected else point.lr
            reported.add((cell_of(point), point.seed, lr))
        for point in held:
            tallies[point.cell].add_open(repeated=(point.cell, point.seed) in seats)
            reported.add((point.cell, point.seed, None))
        seen |= {*points, *(point for point in held if (point.cell, point.seed) not in seats)}
        cells = (tally.outlook(cell, trials[cell]) for cell, tally in tallies.items())
        phases.append(PhaseOutlook(phase=phase, cells=tuple(cells)))
        if phase.select:
            rates |= rates_of(choices_of(read_runs(opened, storage, phase, points, inventory)))
    return Outlook(phases=tuple(phases), distinct=len(seen), reported=len(reported))


class _Tally:
    """A cell of a phase while its points are counted."""

    def __init__(self) -> None:
        self.rates: set[float] = set()
        self.states: Counter[TrialState] = Counter()
        self.waiting = self.repeated = self.left = 0

    def add(self, point: GridPoint, state: TrialState, *, repeated: bool) -> None:
        self.rates.add(point.lr)
        self.states[state] += 1
        self.repeated += repeated
        self.left += not repeated and state in (TrialState.TO_DO, TrialState.IN_FLIGHT)

    def add_open(self, *, repeated: bool) -> None:
        self.waiting += 1
        self.repeated += repeated
        self.left += not repeated

    def outlook(self, cell: Cell, trial: Expectation | None) -> CellOutlook:
        return CellOutlook(
            cell=cell,
            rates=tuple(sorted(self.rates)),
            states={state: self.states[state] for state in POINT_STATES},
            waiting=self.waiting,
            repeated=self.repeated,
            left=self.left,
            trial=trial,
        )


def expect_trials(
    opened: OpenedStudy,
    storage: Storage,
    inventory: Inventory,
    *,
    here: Here | None = None,
) -> dict[Cell, Expectation | None]:
    """What a trial of each cell takes, from a few of its records where there are any."""
    sample: dict[Cell, list[str]] = {}
    for point in opened.study.points:
        point_id = opened.spec(point).point_id if opened.is_here(point) else None
        of_cell = sample.setdefault(cell_of(point), [])
        if point_id and point_id in inventory.finished:
            of_cell.append(point_id)
    # The last ones of a cell may come from another machine than the first ones.
    records = read_records(
        storage,
        (
            point_id
            for of_cell in sample.values()
            for point_id in (*of_cell[:1], *of_cell[1:][-(SAMPLE - 1) :])
        ),
    )
    sizes = opened.images_per_scale
    measured = measure(records.values(), sizes, here)
    cells = {cell_of(point) for phase in opened.study.phases for point in phase.points}
    return {
        cell: expect(cell, opened.study.recipe, sizes[cell.dataset], measured)
        if cell.dataset in sizes
        else None
        for cell in cells
    }
