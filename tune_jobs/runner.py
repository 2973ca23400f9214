"""Points become Ray Tune trials. All knowledge of Tune is here."""

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from tune_jobs.datasets import fetch_dataset, put_dataset
from tune_jobs.display import Display
from tune_jobs.grid import GridPoint, Recipe, TrialSpec
from tune_jobs.local_ray import local_ray, scratch_folder
from tune_jobs.plan import Plan, State, survey
from tune_jobs.plugins import import_models
from tune_jobs.session import Progress, Surroundings
from tune_jobs.storage import Storage
from tune_jobs.trial import Outcome, run_trial

EXPERIMENT_TRIALS = 300  # Tune writes the state of a whole experiment again and again
ELSEWHERE_SECONDS = 5.0  # between two looks at what other drivers are running


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all trials of a run share; sent to the workers once."""

    storage: Storage
    surroundings: Surroundings
    dataset_keys: dict[str, str]
    imports: tuple[str, ...]  # modules that register users' own models
    stop_flag: Path  # once this file is there, trials write a checkpoint and end


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """How the points of a study stand after a run.

    ``broken`` are the errors of trials that could not even store their failure.
    """

    states: dict[str, State]
    stopped: bool
    broken: tuple[str, ...]


def run_plan(
    plan: Plan,
    storage: Storage,
    *,
    checkpoint_seconds: float = 60.0,
    max_concurrent: int | None = None,
    retry_failed: bool = False,
    stop_after_seconds: float | None = None,
) -> RunSummary:
    """Run what a study still has to do on a Ray of its own on this machine; what is done stays.

    Points that another driver is at are left alone and waited for. Ctrl-C, like the end of
    ``stop_after_seconds``, asks the trials to write their checkpoints and end; a second one ends
    at once.
    """
    resources = plan.study.resources
    slots = max_concurrent or max(1, (os.cpu_count() or 1) // resources.cpus)
    with (
        scratch_folder() as scratch,
        local_ray(scratch / "ray", cpus=slots * resources.cpus, gpus_per_trial=resources.gpus),
    ):
        job = Job(
            storage=storage,
            surroundings=Surroundings(
                driver=secrets.token_hex(6),
                threads=resources.cpus,
                device="cuda" if resources.gpus else "cpu",
                checkpoint_seconds=checkpoint_seconds,
                ray_version=ray.__version__,
            ),
            dataset_keys={
                name: put_dataset(dataset, storage) for name, dataset in plan.datasets.items()
            },
            imports=plan.study.imports,
            stop_flag=scratch / "stop",
        )
        with _time_touches(job.stop_flag, stop_after_seconds):
            broken = _run_until_done(plan, job, scratch / "tune", slots, retry_failed)
        return RunSummary(
            states=survey(plan.specs, storage), stopped=job.stop_flag.exists(), broken=broken
        )


def _run_until_done(
    plan: Plan, job: Job, folder: Path, slots: int, retry_failed: bool
) -> tuple[str, ...]:
    """Run experiment after experiment until no point is left to do; returns what broke."""
    wanted = {State.TO_DO, State.FAILED} if retry_failed else {State.TO_DO}
    states = survey(plan.specs, job.storage)
    tried: set[str] = set()
    open_points = sum(state in wanted | {State.IN_FLIGHT} for state in states.values())
    with Display(open_points, slots) as display, _interrupts_touch(job.stop_flag, display):
        watch = _Watch(display, job.stop_flag)
        while not job.stop_flag.exists():
            todo = [
                spec
                for spec in plan.specs
                if states[spec.point_id] in wanted and spec.point_id not in tried
            ]
            if todo:
                batch = todo[:EXPERIMENT_TRIALS]
                tried |= {spec.point_id for spec in batch}
                _run_experiment(batch, plan, job, folder, slots, watch)
                tried -= watch.elsewhere
                watch.elsewhere.clear()
            elif State.IN_FLIGHT in states.values():
                time.sleep(ELSEWHERE_SECONDS)
            else:
                break
            states = survey(plan.specs, job.storage)
    return tuple(watch.broken)


def _run_experiment(
    specs: Sequence[TrialSpec], plan: Plan, job: Job, folder: Path, slots: int, watch: "_Watch"
) -> None:
    resources = plan.study.resources
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C is ours: _interrupts_touch
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # results are records, not Tune files
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the display is ours
    trainable = tune.with_resources(
        tune.with_parameters(_trainable, job=job), {"cpu": resources.cpus, "gpu": resources.gpus}
    )
    tune.Tuner(
        trainable,
        param_space={"spec": tune.grid_search([asdict(spec) for spec in specs])},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            max_concurrent_trials=slots,
            trial_name_creator=_label,
            trial_dirname_creator=lambda trial: _spec(trial.config).point_id,
        ),
        run_config=tune.RunConfig(
            name=secrets.token_hex(4),
            storage_path=str(folder),
            # A process or node that dies is no fault of the trial, which counts that itself.
            failure_config=tune.FailureConfig(max_failures=-1),
            callbacks=[watch],
            stop=watch,
            verbose=0,
        ),
    ).fit()


def _trainable(config: dict[str, Any], job: Job) -> None:
    """One trial, as Tune calls it on a worker. It never raises: Tune would try it again."""
    spec = _spec(config)

    def report(progress: Progress) -> None:
        tune.report({"progress": asdict(progress)})

    try:
        if job.stop_flag.exists():
            outcome = Outcome(status="stopped")
        else:
            import_models(job.imports)
            outcome = run_trial(
                spec,
                fetch_dataset(job.dataset_keys[spec.point.dataset], job.storage),
                job.storage,
                job.surroundings,
                stop_asked=job.stop_flag.exists,
                report=report,
            )
        accuracy = outcome.record.test_accuracy if outcome.record else None
        result = {"status": outcome.status, "error": outcome.error, "test_accuracy": accuracy}
    except Exception as error:
        result = {"status": "broken", "error": f"{type(error).__name__}: {error}"}
    tune.report(result)


class _Watch(tune.Callback, tune.Stopper):
    """Tells the display what Tune hears, and Tune to start nothing more once a stop is asked."""

    def __init__(self, display: Display, stop_flag: Path) -> None:
        self._display, self._stop_flag = display, stop_flag
        self._running: set[str] = set()
        self.elsewhere: set[str] = set()
        self.broken: list[str] = []

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()  # Tune saves its callbacks with an experiment; ours lives in the driver

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._running.add(str(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict, **info: Any
    ) -> None:
        label = str(trial)
        if "status" not in result:
            self._display.progressed(label, Progress(**result["progress"]))
        else:
            self._running.discard(label)
            self._ended(label, _spec(trial.config).point_id, result)

    def _ended(self, label: str, point_id: str, result: dict[str, Any]) -> None:
        status = result["status"]
        if status == "elsewhere":
            self.elsewhere.add(point_id)
            self._display.left(label)
            return
        words = f"{status:9} {label}"
        if status in ("failed", "broken"):
            words += f": {result['error']}"
        elif result["test_accuracy"] is not None:
            words += f": test accuracy {result['test_accuracy']:.1%}"
        if status == "broken":
            self.broken.append(f"{label}: {result['error']}")
        self._display.ended(label, words, failed=status in ("failed", "broken"))

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stop_flag.exists() and not self._running


def _spec(config: dict[str, Any]) -> TrialSpec:
    content = config["spec"]
    return TrialSpec(
        **content | {"point": GridPoint(**content["point"]), "recipe": Recipe(**content["recipe"])}
    )


def _label(trial: Trial) -> str:
    return _spec(trial.config).point.label


@contextmanager
def _time_touches(stop_flag: Path, seconds: float | None) -> Iterator[None]:
    """Once the time is up, the trials are asked to stop."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, stop_flag.touch)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _interrupts_touch(stop_flag: Path, display: Display) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) asks the trials to stop, the second ends at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop_flag.exists():
            raise KeyboardInterrupt
        stop_flag.touch()
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
