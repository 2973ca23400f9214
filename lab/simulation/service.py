"""Drivers, their trials and clean: the project's own code, with Ray's part played here."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from lab.simulation import arithmetic
from lab.simulation.process import Killed, Process
from lab.simulation.store import URI
from lab.simulation.world import World
from siconvnet.models import registry
from tune_jobs.driver import runner
from tune_jobs.driver.experiment import Setting
from tune_jobs.driver.options import RunOptions
from tune_jobs.driver.phases import StudySummary, run_phases
from tune_jobs.driver.runner import PlanSource, Run, RunSummary
from tune_jobs.driver.trainable import Shared
from tune_jobs.driver.turns import Slots, TrialList
from tune_jobs.errors import StorageError, TuneJobsError
from tune_jobs.plan.leftovers import Leftover, find_leftovers, remove_all
from tune_jobs.plan.opened import OpenedStudy, Plan, open_study
from tune_jobs.point import TrialSpec
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import DEATHS_ALLOWED
from tune_jobs.study.file import parse_study
from tune_jobs.trial import session
from tune_jobs.trial.outcome import Outcome, TrialProgress
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

Trains = Callable[[str, Process, float], None]  # a point, the process that trains it, since when
SLOTS = 2
BATCH_SECONDS = (2.0, 25.0)
CHECKPOINT_SECONDS = 60.0
POLL_SECONDS, ELSEWHERE_SECONDS = 10.0, 60.0  # of a driver; longer than on a real machine
NODE_LOST_SECONDS = 20.0  # at most, from a driver's death to its trials'
_point_id: Any = TrialSpec.__dict__["point_id"].fget
STUDY = {
    "name": "simulated",
    "axes": {
        "model": arithmetic.MODEL,
        "dataset": "bars.npz",
        "scenario": 2,
        "kernel_size": 7,
        "interpolation": None,
    },
    "phases": [
        {"name": "rates", "axes": {"lr": [0.1, 0.001], "seed": 1}, "select": "robust"},
        {"name": "runs", "axes": {"lr": "chosen", "seed": [1, 2]}},
    ],
    "recipe": {"max_epochs": 3, "patience": 3, "batch_size": 16},
}


def opened_study() -> OpenedStudy:
    """Two rates of one seed, then another seed at the better one: three points."""
    arithmetic.register()
    dataset = arithmetic.dataset().summary
    return open_study(parse_study(STUDY, where="simulated"), None, {"bars.npz": dataset})


class Service:
    """What a person has running in a world: drivers, and now and then a clean."""

    def __init__(self, world: World, opened: OpenedStudy, trains: Trains) -> None:
        self.world, self.opened, self.trains = world, opened, trains
        self.storage = Storage(URI)
        self.drivers: list[Process] = []
        self.trials: list[Process] = []
        self.starts: Counter[str] = Counter()  # of trials, by point_id

    def start_driver(self, *, retry_failed: bool = False) -> Process:
        name = f"driver {len(self.drivers) + 1}"
        driver = self.world.start(
            name,
            lambda: self._drive(name, retry_failed),
            then=self._driver_over,
            driver=name,
        )
        self.drivers.append(driver)
        return driver

    def start_clean(self) -> Process:
        return self.world.start("clean", self._clean, then=self._over)

    @property
    def running(self) -> list[Process]:
        return [driver for driver in self.drivers if self.world.is_alive(driver)]

    def leftovers(self) -> tuple[Leftover, ...]:
        return find_leftovers(self.storage).gone

    def _drive(self, name: str, retry_failed: bool) -> StudySummary:
        self.world.note("starts")

        def run(plan: Plan, seconds: float | None) -> RunSummary:
            surroundings = Surroundings(
                driver=name, threads=1, checkpoint_seconds=CHECKPOINT_SECONDS
            )
            shared: Any = Shared(
                storage=self.storage,
                surroundings=surroundings,
                dataset_keys={},
                imports=(),
                folder=None,
                board=self,  # type: ignore[arg-type]
            )
            stop: Any = Stop(self.world)
            display: Any = _Display()
            ours = Run(
                Setting(
                    shared=shared, folder=Path(), slots=Slots(SLOTS), stop=stop, display=display
                )
            )
            wanted = {TrialState.TO_DO}
            if retry_failed:
                wanted.add(TrialState.FAILED)
            ours.until_done(PlanSource(plan, wanted, self.storage))
            return RunSummary(stopped=stop.asked, broken=tuple(ours.broken))

        options = RunOptions(retry_failed=retry_failed)
        return run_phases(self.opened, self.storage, run, options)

    def _clean(self) -> None:
        self.world.note("starts")
        leftovers = self.leftovers()
        for leftover in leftovers:
            self.world.note(f"finds {leftover.key}: {leftover.reason}")
        for leftover in remove_all(leftovers, self.storage):
            self.world.note(f"has removed {leftover.key}")

    def _driver_over(self, driver: Process) -> None:
        if isinstance(driver.ended, Killed):
            for trial in self.trials:
                if trial.driver == driver.driver:
                    self.world.kill(trial, self.world.rng.uniform(0, NODE_LOST_SECONDS))
        self._over(driver)

    def _over(self, process: Process) -> None:
        # A storage that fails, or looks as if all its records were lost: no harm is done.
        if isinstance(process.ended, StorageError) or type(process.ended) is TuneJobsError:
            self.world.note(f"{process.name} ends: {process.ended}")
        elif isinstance(process.ended, Exception):
            self.world.violate(f"{process.name} raised {process.ended!r}")


class Stop:
    """A driver's stop; a fault may be a user's Ctrl-C."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked = self.announced = False

    def ask(self) -> None:
        self.asked = True

    def announce(self) -> None:
        fault = self._world.strike("poll")
        if fault == "interrupted":
            self._world.note("interrupted")
            self.ask()
        elif fault:
            self._world.suffer(fault, "waiting")
        self.announced = self.announced or self.asked


class _Display:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: None


@dataclass(slots=True)
class Watched:
    """What the driver's watch notes of an experiment."""

    elsewhere: set[str] = field(default_factory=set)
    crowded: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)


class Experiment:
    """What an experiment of the driver's is in simulated time: a process for each trial."""

    def __init__(self, trials: TrialList, resources: object, setting: Setting) -> None:
        self._service: Any = setting.shared.board
        self._world: World = self._service.world
        self._driver = self._world.here
        self._shared, self._slots = setting.shared, setting.slots
        self._stop: Any = setting.stop
        self._todo, self._running = list(trials.specs), 0
        self._losses: Counter[str] = Counter()
        self._point_ids = trials.handed_out
        self.watch = Watched()

    def start(self) -> None:
        self._fill()

    @property
    def is_over(self) -> bool:
        self._fill()
        return not self._running

    @property
    def is_starting(self) -> bool:
        return bool(self._todo)

    @property
    def tried(self) -> set[str]:
        return set(self._point_ids) - self.watch.elsewhere

    def check(self) -> None:
        """Nothing is raised by anything but the trials, whose errors are ``broken``."""

    def _fill(self) -> None:
        while self._todo and not self._stop.asked and self._slots.take():
            self._running += 1
            self._begin(self._todo.pop(0))

    def _begin(self, spec: TrialSpec) -> None:
        trial = self._world.start(
            f"{_label(spec)} of {self._driver.name}",
            lambda: self._work(spec),
            then=lambda process: self._over(spec, process),
            after=self._world.rng.uniform(1, 5),
            driver=self._driver.driver,
        )
        self._service.trials.append(trial)
        self._service.starts[spec.point_id] += 1

    def _work(self, spec: TrialSpec) -> Outcome:
        world, process = self._world, self._world.here
        began = world.now

        def stop_asked() -> bool:
            fault = world.strike("batch")
            world.sleep(world.rng.uniform(*BATCH_SECONDS))
            self._service.trains(spec.point_id, process, began)
            if fault == "isolated":
                world.note("is taken for dead, and goes on")
                process.then = lambda process: None
                self._lost(spec)
            elif fault == "preempted":
                world.note("its node is taken away")
                return True
            elif fault:
                world.suffer(fault, "in a batch")
            return self._stop.announced

        def report(progress: TrialProgress) -> None:
            self._losses.pop(spec.point_id, None)

        outcome = run_trial(
            spec,
            arithmetic.dataset(),
            self._shared.storage,
            self._shared.surroundings,
            stop_asked=stop_asked,
            report=report,
        )
        world.note(f"ends: {outcome.status}{f' ({outcome.error})' * bool(outcome.error)}")
        return outcome

    def _over(self, spec: TrialSpec, process: Process) -> None:
        ended = process.ended
        left = (
            isinstance(ended, Outcome)
            and ended.status is TrialState.PAUSED
            and not self._stop.announced
        )
        if isinstance(ended, Killed) or left:
            self._lost(spec)
            return
        self._running -= 1
        self._slots.give()
        if isinstance(ended, StorageError):
            self.watch.broken.append(str(ended))
        elif isinstance(ended, Exception):
            self._world.violate(f"{process.name} raised {ended!r}")
        elif ended.status is TrialState.ELSEWHERE:
            self.watch.elsewhere.add(spec.point_id)

    def _lost(self, spec: TrialSpec) -> None:
        """A process is gone; Tune begins its trial again, unless that is in vain."""
        self._losses[spec.point_id] += 1
        if not self._world.is_alive(self._driver):
            return
        if self._losses[spec.point_id] > DEATHS_ALLOWED:
            self.watch.broken.append(f"{_label(spec)}: given up")
            self._running -= 1
            self._slots.give()
        else:
            self._begin(spec)


@contextmanager
def ray_played() -> Iterator[None]:
    """Let the driver's code find Ray's part, and a trial's its arithmetic, here."""
    with (
        mock.patch.multiple(
            runner,
            Experiment=Experiment,
            POLL_SECONDS=POLL_SECONDS,
            ELSEWHERE_SECONDS=ELSEWHERE_SECONDS,
        ),
        mock.patch.dict(registry._models),  # which knows the simulated one until then
        mock.patch.object(TrialSpec, "point_id", property(cache(_point_id))),
        mock.patch.multiple(
            session,
            Fit=arithmetic.RememberedFit,
            ScaleCounts=arithmetic.RememberedCounts,
            provenance=cache(session.provenance),
            _images=cache(session._images),
        ),
    ):
        yield


def _label(spec: TrialSpec) -> str:
    return f"lr={spec.point.lr} seed={spec.point.seed}"
