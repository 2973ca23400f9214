"""Run trials, experiment after experiment, until their source has no more."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import ray

from stir import DatasetSummary
from stir.cores import available_cores
from stir.terminal import step
from tune_jobs.cluster.address import LOCAL
from tune_jobs.cluster.connection import count_nodes, ray_session
from tune_jobs.cluster.meter import Meter, price_labels, require_prices
from tune_jobs.cluster.scratch import scratch_folder
from tune_jobs.driver.display import Display
from tune_jobs.driver.experiment import Experiment, Setting
from tune_jobs.driver.options import DRIVER_BYTES, RunOptions
from tune_jobs.driver.stop import Stop
from tune_jobs.driver.trainable import Shared
from tune_jobs.driver.turns import Slots, TrialList, Trials
from tune_jobs.plan.cost import Expectation
from tune_jobs.plan.inventory import survey
from tune_jobs.plan.opened import Plan
from tune_jobs.plan.resources import batches, resources_of
from tune_jobs.point import Cell, TrialSpec, cell_of, short_labels
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.datasets import put_dataset
from tune_jobs.study.study import Resources, Study
from tune_jobs.trial.interrupts import first_interrupt_asks
from tune_jobs.trial.session import Surroundings

EXPERIMENT_TRIALS = 300  # Tune writes the state of a whole experiment again and again
ELSEWHERE_SECONDS = 5.0  # between two looks at what other drivers are running
POLL_SECONDS = 0.1  # between two looks at what our own experiments are doing


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """What a run has to report beside what is in the storage.

    ``spent`` is what the study has cost when that has reached its budget, else None. ``broken`` are
    the errors of trials that could not even store their failure.
    """

    stopped: bool
    broken: tuple[str, ...]
    spent: float | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Trials that take the same resources, for one experiment."""

    resources: Resources
    trials: Trials


@dataclass(frozen=True, slots=True)
class Supply:
    """What a source has now. ``awaited``: another driver runs trials that may come back to us."""

    batches: Sequence[Batch]
    awaited: bool


NOTHING = Supply((), awaited=False)


class Source(Protocol):
    """Where trials come from: a plan, or a search that draws them."""

    def has_more(self, tried: Set[str]) -> bool:
        """Whether there may be trials of other points than those that were ``tried``."""
        ...

    def supply(self, tried: Set[str]) -> Supply:
        """What is to be run, as the storage stands now, but for points that were ``tried``."""
        ...

    def alone(self, point_ids: Set[str]) -> Sequence[Batch]:
        """Some of its trials, each with a GPU of its own."""
        ...


class PlanSource:
    """The trials of a plan that are in a wanted state, in the order of the plan.

    A trial that another driver has let go of takes its place again.
    """

    def __init__(self, plan: Plan, wanted: Set[TrialState], storage: Storage) -> None:
        self._plan, self._wanted, self._storage = plan, wanted, storage

    def has_more(self, tried: Set[str]) -> bool:
        return any(spec.point_id not in tried for spec in self._plan.specs)

    def supply(self, tried: Set[str]) -> Supply:
        states = survey(self._plan.specs, self._storage)
        todo = [
            spec
            for spec in self._plan.specs
            if states[spec.point_id] in self._wanted and spec.point_id not in tried
        ]
        return Supply(self._batches(todo), TrialState.IN_FLIGHT in states.values())

    def alone(self, point_ids: Set[str]) -> Sequence[Batch]:
        specs = [spec for spec in self._plan.specs if spec.point_id in point_ids]
        return [
            Batch(replace(batch.resources, gpus=1.0), batch.trials)
            for batch in self._batches(specs)
        ]

    def _batches(self, specs: Sequence[TrialSpec]) -> list[Batch]:
        def shape(spec: TrialSpec) -> Resources:
            return resources_of(spec, self._plan.study.resources, self._plan.datasets)

        return [
            Batch(resources, TrialList(alike))
            for resources, alike in batches(specs, shape, EXPERIMENT_TRIALS)
        ]


def run_plan(
    plan: Plan,
    storage: Storage,
    options: RunOptions,
    trials: Mapping[Cell, Expectation | None] = MappingProxyType({}),
) -> RunSummary:
    """Run the trials of a plan, none of which is known as done, on this machine or on a cluster.

    What is done by now stays. Points that another driver runs are left alone and waited for.
    Ctrl-C, like the end of ``stop_after_seconds``, asks the trials to write their checkpoints and
    end; a second Ctrl-C ends at once. ``trials`` are what trials of cells are expected to take.
    """
    wanted = {TrialState.TO_DO, TrialState.FAILED} if options.retry_failed else {TrialState.TO_DO}
    forecast = {
        spec.point.label: trial for spec in plan.specs if (trial := trials.get(cell_of(spec.point)))
    }
    short = short_labels([spec.point for spec in plan.specs])
    with driving(
        plan.study,
        plan.datasets,
        storage,
        options,
        total=len(plan.specs),
        expected=forecast,
        name=lambda label: short.get(label, label),
    ) as run:
        run.until_done(PlanSource(plan, wanted, storage))
    return RunSummary(stopped=run.stop.asked, broken=tuple(run.broken), spent=run.spent)


@contextmanager
def driving(
    study: Study,
    datasets: Mapping[str, DatasetSummary],
    storage: Storage,
    options: RunOptions,
    *,
    total: int,
    expected: Mapping[str, Expectation] = MappingProxyType({}),
    name: Callable[[str], str] = lambda label: label,
    driver: str = "",
) -> Iterator["Run"]:
    """Be ready to run ``total`` trials.

    ``expected`` is what some take, by their labels, and ``name`` what one is called for short.
    Claims name the ``driver``; without a name it gets one that no other has.
    """
    resources, slots = study.resources, options.max_concurrent
    if options.address == LOCAL:
        slots = slots or max(1, available_cores() // resources.cpus)
        if options.budget is not None:
            require_prices(options.price, local=True)  # before Ray has started in vain
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        session = ray_session(
            scratch / "ray",
            address=options.address,
            cpus=(slots or 0) * resources.cpus,
            gpus_per_trial=resources.gpus,
        )
        with step("starting Ray"):
            check = stack.enter_context(session)
            stop = Stop()
        driver = driver or secrets.token_hex(DRIVER_BYTES)
        with step("putting datasets into the storage"):
            shared = _shared(study, datasets, storage, options, stop, driver)
        meter = _meter(study, storage, options, driver, stop)
        cost = (lambda: meter.cost) if meter else None
        display = Display(total, slots=slots, forecast=expected, name=name, cost=cost)
        stack.enter_context(display)
        if meter:
            stack.enter_context(meter)
        stack.enter_context(step("running trials"))
        stack.enter_context(_stopping_after(options.stop_after_seconds, stop))
        stack.enter_context(first_interrupt_asks(lambda: _stop(stop, display)))
        if storage.is_local and count_nodes() > 1:
            display.say(
                f"storage {storage.uri} is a folder: all machines of the cluster must share it"
            )
        yield Run(
            Setting(
                shared=shared,
                folder=scratch / "tune",
                slots=Slots(slots),
                stop=stop,
                display=display,
            ),
            check,
            meter,
        )


def _meter(
    study: Study, storage: Storage, options: RunOptions, driver: str, stop: Stop
) -> Meter | None:
    """What counts the money, where machines have prices; it asks trials to stop at the budget."""
    local = options.address == LOCAL
    if options.budget is not None and not local:
        require_prices(options.price, local=False)
    elif options.price is None and (local or all(one[2] is None for one in price_labels())):
        return None
    return Meter(
        storage, study.name, driver, price=options.price, budget=options.budget, on_spent=stop.ask
    )


class Run:
    """Experiments one after the other: the next begins once the last trial of one has started."""

    def __init__(
        self,
        setting: Setting,
        check: Callable[[], None] = lambda: None,
        meter: Meter | None = None,
    ) -> None:
        """``check`` raises if the Ray that the trials run on has died."""
        self._setting, self._check, self._meter = setting, check, meter
        self.stop = setting.stop
        self.broken: list[str] = []

    @property
    def spent(self) -> float | None:
        """What the study has cost, once that has reached its budget."""
        return self._meter.cost if self._meter and self._meter.is_spent else None

    def until_done(self, source: Source) -> None:
        """Run every trial of a source once, and wait for those that other drivers run."""
        tried: set[str] = set()
        running: list[Experiment] = []
        crowded: list[Batch] = []
        next_look = 0.0
        while running or not self.stop.asked:
            is_fed = self.stop.asked or any(experiment.is_starting for experiment in running)
            if not is_fed and time.monotonic() >= next_look:
                known = tried.union(*(one.tried for one in running))
                is_all_here = bool(running) and not source.has_more(known)
                supply = NOTHING if is_all_here else source.supply(known)
                waiting = crowded or list(supply.batches)
                if waiting:
                    running.append(self._start(waiting.pop(0)))
                elif running or supply.awaited:
                    next_look = time.monotonic() + ELSEWHERE_SECONDS
                else:
                    break
            self._pause(POLL_SECONDS)
            for experiment in [one for one in running if one.is_over]:
                running.remove(experiment)
                experiment.check()
                tried |= experiment.tried
                self.broken += experiment.watch.broken
                crowded += source.alone(experiment.watch.crowded)
                next_look = 0.0

    def _start(self, batch: Batch) -> Experiment:
        setting, shared = self._setting, self._setting.shared
        surroundings = replace(shared.surroundings, shares_gpu=0 < batch.resources.gpus < 1)
        shared = replace(shared, surroundings=surroundings)
        experiment = Experiment(batch.trials, batch.resources, replace(setting, shared=shared))
        experiment.start()
        return experiment

    def _pause(self, seconds: float) -> None:
        """Wait, but announce a stop as soon as it is asked for."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._check()
            self.stop.announce()
            time.sleep(min(seconds, POLL_SECONDS))
            if self.stop.asked:
                break
        self.stop.announce()


def _shared(
    study: Study,
    datasets: Mapping[str, DatasetSummary],
    storage: Storage,
    options: RunOptions,
    stop: Stop,
    driver: str,
) -> Shared:
    """What the workers need; puts the datasets into the storage."""
    return Shared(
        storage=storage,
        surroundings=Surroundings(
            driver=driver,
            threads=study.resources.cpus,
            device="cuda" if study.resources.gpus else "cpu",
            checkpoint_seconds=options.checkpoint_seconds,
            ray_version=ray.__version__,
        ),
        dataset_keys={name: put_dataset(dataset, storage) for name, dataset in datasets.items()},
        imports=study.imports,
        folder=study.folder,
        board=stop.board,
    )


@contextmanager
def _stopping_after(seconds: float | None, stop: Stop) -> Iterator[None]:
    """Ask the trials to stop once the time is up."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, stop.ask)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop(stop: Stop, display: Display) -> None:
    stop.ask()
    display.say("stopping: trials write their checkpoints; Ctrl-C again ends at once")
