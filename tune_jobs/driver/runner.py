"""Points become trials, experiment after experiment, until none is left to do."""

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import ray

from stir import DatasetSummary
from tune_jobs.cluster.connection import LOCAL, count_nodes, ray_session, scratch_folder
from tune_jobs.driver.display import Display
from tune_jobs.driver.experiment import Experiment, Shared, Slots
from tune_jobs.driver.stop import Stop
from tune_jobs.plan.inventory import survey
from tune_jobs.plan.opened import Plan
from tune_jobs.plan.resources import Batch, batches, resources_of
from tune_jobs.point import TrialSpec
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.datasets import put_dataset
from tune_jobs.study.study import Resources, Study
from tune_jobs.trial.session import Surroundings

if TYPE_CHECKING:
    from tune_jobs.driver.course import Course

EXPERIMENT_TRIALS = 300  # Tune writes the state of a whole experiment again and again
ELSEWHERE_SECONDS = 5.0  # between two looks at what other drivers are running
LOOK_SECONDS = 0.1  # between two looks at what our own experiments are doing


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """What a run has to say beside what is in the storage.

    ``broken`` are the errors of trials that could not even store their failure.
    """

    stopped: bool
    broken: tuple[str, ...]


def run_plan(
    plan: Plan,
    storage: Storage,
    *,
    address: str = LOCAL,
    checkpoint_seconds: float = 60.0,
    max_concurrent: int | None = None,
    retry_failed: bool = False,
    stop_after_seconds: float | None = None,
    price: float | None = None,
) -> RunSummary:
    """Run what a study still has to do, on this machine or on a cluster; what is done stays.

    Points that another driver is at are left alone and waited for. Ctrl-C, like the end of
    ``stop_after_seconds``, asks the trials to write their checkpoints and end; a second one ends
    at once. ``price`` is money an hour, shown as it adds up.
    """
    states = survey(plan.specs, storage)
    wanted = {TrialState.TO_DO, TrialState.FAILED} if retry_failed else {TrialState.TO_DO}
    with driving(
        plan.study,
        plan.datasets,
        storage,
        total=sum(state in wanted | {TrialState.IN_FLIGHT} for state in states.values()),
        address=address,
        checkpoint_seconds=checkpoint_seconds,
        max_concurrent=max_concurrent,
        stop_after_seconds=stop_after_seconds,
        price=price,
    ) as run:
        run.until_done(plan.specs, wanted)
    return RunSummary(stopped=run.stop.asked, broken=tuple(run.broken))


@contextmanager
def driving(
    study: Study,
    datasets: Mapping[str, DatasetSummary],
    storage: Storage,
    *,
    total: int,
    address: str = LOCAL,
    checkpoint_seconds: float = 60.0,
    max_concurrent: int | None = None,
    stop_after_seconds: float | None = None,
    price: float | None = None,
) -> Iterator["Run"]:
    """Be ready to run trials, of which ``total`` are expected; see ``run_plan`` for the rest."""
    resources = study.resources
    slots = max_concurrent
    if address == LOCAL:
        slots = slots or max(1, (os.cpu_count() or 1) // resources.cpus)
    with (
        scratch_folder() as scratch,
        ray_session(
            scratch / "ray",
            address=address,
            cpus=(slots or 0) * resources.cpus,
            gpus_per_trial=resources.gpus,
        ),
    ):
        stop = Stop()
        shared = Shared(
            storage=storage,
            surroundings=Surroundings(
                driver=secrets.token_hex(6),
                threads=resources.cpus,
                device="cuda" if resources.gpus else "cpu",
                checkpoint_seconds=checkpoint_seconds,
                ray_version=ray.__version__,
            ),
            dataset_keys={
                name: put_dataset(dataset, storage) for name, dataset in datasets.items()
            },
            imports=study.imports,
            board=stop.board,
        )
        with (
            Display(total, price=price) as display,
            _time_asks(stop, stop_after_seconds),
            _interrupts_ask(stop, display),
        ):
            if storage.is_local and count_nodes() > 1:
                display.say(
                    f"storage {storage.uri} is a folder: all machines of the cluster must share it"
                )
            yield Run(shared, resources, datasets, scratch / "tune", Slots(slots), stop, display)


class Run:
    """Experiments one after the other: the next begins as the last trial of one has started."""

    def __init__(
        self,
        shared: Shared,
        resources: Resources,
        datasets: Mapping[str, DatasetSummary],
        folder: Path,
        slots: Slots,
        stop: Stop,
        display: Display,
    ) -> None:
        self._shared, self._folder = shared, folder
        self._resources, self._datasets = resources, datasets
        self._slots, self.stop, self._display = slots, stop, display
        self.broken: list[str] = []

    def until_done(self, specs: Sequence[TrialSpec], wanted: set[TrialState]) -> None:
        """Run every trial in a wanted state once, and wait for those of other drivers.

        A trial that another driver has let go of takes its place again in the order of ``specs``.
        """
        tried: set[str] = set()
        running: list[Experiment] = []
        crowded: list[Batch] = []
        next_look = 0.0
        while running or not self.stop.asked:
            is_fed = self.stop.asked or any(experiment.unstarted for experiment in running)
            if not is_fed and time.monotonic() >= next_look:
                states = survey(specs, self._shared.storage)
                todo = [
                    spec
                    for spec in specs
                    if states[spec.point_id] in wanted and spec.point_id not in tried
                ]
                waiting = crowded or batches(todo, self._shape, EXPERIMENT_TRIALS)
                if waiting:
                    batch = waiting.pop(0)
                    tried |= {spec.point_id for spec in batch[1]}
                    running.append(self._begin(batch))
                elif running or TrialState.IN_FLIGHT in states.values():
                    next_look = time.monotonic() + ELSEWHERE_SECONDS
                else:
                    break
            self._pause(LOOK_SECONDS)
            for experiment in [one for one in running if one.is_over]:
                running.remove(experiment)
                tried -= self._end(experiment).elsewhere
                full = [spec for spec in specs if spec.point_id in experiment.crowded]
                crowded += batches(full, self._alone, EXPERIMENT_TRIALS)
                next_look = 0.0

    def _end(self, experiment: Experiment) -> Experiment:
        experiment.check()
        self.broken += experiment.broken
        return experiment

    def follow(
        self, course: "Course", *, resources: Resources | None = None, alone: bool = False
    ) -> Experiment:
        """See what a search's course hands out through; ``alone``: each with a GPU of its own."""
        resources = resources or self._resources
        if alone:
            resources = replace(resources, gpus=1.0)
        experiment = self._begin((resources, ()), course)
        while not experiment.is_over:
            self._pause(LOOK_SECONDS)
        return self._end(experiment)

    def _shape(self, spec: TrialSpec) -> Resources:
        return resources_of(spec, self._resources, self._datasets)

    def _alone(self, spec: TrialSpec) -> Resources:
        return replace(self._shape(spec), gpus=1.0)

    def _begin(self, batch: Batch, course: "Course | None" = None) -> Experiment:
        resources, specs = batch
        surroundings = replace(self._shared.surroundings, shares_gpu=0 < resources.gpus < 1)
        return Experiment(
            specs,
            resources,
            replace(self._shared, surroundings=surroundings),
            self._folder,
            slots=self._slots,
            stop=self.stop,
            display=self._display,
            course=course,
        )

    def wait_for_others(self) -> None:
        """Let other drivers get on."""
        self._pause(ELSEWHERE_SECONDS)

    def _pause(self, seconds: float) -> None:
        """Wait, but pass on a stop as soon as it is asked."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.stop.tell()
            time.sleep(min(seconds, LOOK_SECONDS))
            if self.stop.asked:
                break
        self.stop.tell()


@contextmanager
def _time_asks(stop: Stop, seconds: float | None) -> Iterator[None]:
    """Once the time is up, the trials are asked to stop."""
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


@contextmanager
def _interrupts_ask(stop: Stop, display: Display) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) asks the trials to stop, the second ends at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.ask()
        display.say("stopping: trials write their checkpoints; once more ends at once")

    # Python lets only the main thread handle signals; elsewhere they keep their meaning.
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
