"""Some trials become a Ray Tune experiment. All knowledge of Tune is here."""

import logging
import os
import secrets
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.actor import ActorHandle
from ray.tune.experiment import Trial
from ray.tune.search import SearchAlgorithm, SearchGenerator
from ray.tune.search.basic_variant import BasicVariantGenerator

from tune_jobs.cluster.preempt import NodeLeavingError, leave, spot_watch
from tune_jobs.driver.display import Display
from tune_jobs.driver.stop import Stop, stop_listener
from tune_jobs.errors import DeviceLostError
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import DEATHS_ALLOWED
from tune_jobs.storage.datasets import fetch_dataset
from tune_jobs.study.plugins import import_models
from tune_jobs.study.study import Resources
from tune_jobs.trial.outcome import Outcome, TrialProgress
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

if TYPE_CHECKING:
    from tune_jobs.driver.course import Course

LAST_ERROR_CHARACTERS = 160
PENDING_TRIALS = 200  # that a cluster is shown at once, so that it knows how far to grow


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What all trials of an experiment share; sent to the workers once."""

    storage: Storage
    surroundings: Surroundings
    dataset_keys: dict[str, str]
    imports: tuple[str, ...]  # modules that register users' own models
    board: ActorHandle  # where a stop is announced


class Slots:
    """How many trials may run at once, over all experiments; None: as many as Ray has room for."""

    def __init__(self, count: int | None) -> None:
        self._free = threading.Semaphore(count) if count else None

    def take(self) -> bool:
        return self._free is None or self._free.acquire(blocking=False)

    def give(self) -> None:
        if self._free is not None:
            self._free.release()


class Experiment:
    """Trials of one shape, in a Tune experiment that runs in a thread of its own.

    They are ``specs`` in their order, or else what a search's ``course`` hands out.

    ``elsewhere`` are the ids of points that another driver is at, ``crowded`` of those that ran
    out of the memory of a GPU they shared, ``broken`` the errors of trials that could not even
    store their failure.
    """

    def __init__(
        self,
        specs: Sequence[TrialSpec],
        resources: Resources,
        shared: Shared,
        folder: Path,
        *,
        slots: Slots,
        stop: Stop,
        display: Display,
        course: "Course | None" = None,
    ) -> None:
        self._specs, self._course = specs, course
        self._resources, self._shared, self._folder = resources, shared, folder
        self._slots, self._stop, self._watch = slots, stop, _Watch(self, stop, display)
        self._error: BaseException | None = None
        self.unstarted = {spec.point_id for spec in specs}
        self.elsewhere: set[str] = set()
        self.crowded: set[str] = set()
        self.broken: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def check(self) -> None:
        """Raise what Tune raised, if it did."""
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            self._tuner().fit()
        except BaseException as error:  # raised again where the driver waits
            self._error = error

    def _tuner(self) -> tune.Tuner:
        # Tune would ask a growing cluster for one machine after the other in a search. Optuna draws
        # from how earlier trials ended, and so has no use for many at once.
        patient = self._course and not self._course.is_random
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1" if patient else str(PENDING_TRIALS)
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # results are records
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the display is ours, also of trials that are lost
        for chatty in ("tune", "execution.tune_controller"):
            logging.getLogger(f"ray.tune.{chatty}").setLevel(logging.CRITICAL)
        trainable = tune.with_resources(
            tune.with_parameters(_trainable, shared=self._shared),
            {"cpu": self._resources.cpus, "gpu": self._resources.gpus},
        )
        return tune.Tuner(
            trainable,
            param_space=self._space,
            tune_config=self._tune_config(),
            run_config=tune.RunConfig(
                name=secrets.token_hex(4),
                storage_path=str(self._folder),
                # A process or node that dies is no fault of the trial, which counts that itself.
                failure_config=tune.FailureConfig(max_failures=-1),
                callbacks=[self._watch],
                stop=self._watch,
                verbose=0,
            ),
        )

    @property
    def _space(self) -> dict[str, Any] | None:
        if self._course:
            return None
        return {"spec": tune.grid_search([asdict(spec) for spec in self._specs])}

    def _tune_config(self) -> tune.TuneConfig:
        course = self._course
        return tune.TuneConfig(
            reuse_actors=True,
            search_alg=(
                _Draws(self._slots, self._stop, course)
                if course
                else _Turns(self._slots, self._stop)
            ),
            num_samples=course.most if course else 1,
            scheduler=course.scheduler() if course else None,
            trial_name_creator=course.label if course else _label,
            trial_dirname_creator=lambda trial: spec_of(trial.config).point_id,
        )


def _trainable(config: dict[str, Any], shared: Shared) -> None:
    """One trial, as Tune calls it on a worker.

    It raises only where a node is taken away or a GPU is lost: Tune tries it again, in another
    process.
    """
    spec = spec_of(config)

    def report(progress: TrialProgress) -> None:
        tune.report({"progress": asdict(progress)})

    try:
        stop_asked, node_leaves = stop_listener(shared.board), spot_watch()
        if stop_asked() or node_leaves():
            outcome = Outcome(status=TrialState.PAUSED)
        else:
            import_models(shared.imports)
            outcome = run_trial(
                spec,
                fetch_dataset(shared.dataset_keys[spec.point.dataset], shared.storage),
                shared.storage,
                shared.surroundings,
                stop_asked=lambda: stop_asked() or node_leaves(),
                report=report,
            )
        if outcome.status is TrialState.PAUSED and not stop_asked():
            leave()
        accuracy = outcome.record.test_accuracy if outcome.record else None
        result = {"status": outcome.status, "error": outcome.error, "test_accuracy": accuracy}
    except (NodeLeavingError, DeviceLostError):
        raise
    except Exception as error:
        result = {"status": TrialState.BROKEN, "error": f"{type(error).__name__}: {error}"}
    tune.report(result)


class _InTurn(SearchAlgorithm):
    """Trials as another source has them, each as soon as there is a slot for it."""

    def __init__(self, slots: Slots, stop: Stop, *source: Any) -> None:
        super().__init__(*source)
        self._slots, self._stop = slots, stop

    def next_trial(self) -> Trial | None:
        if self._stop.asked:
            self.set_finished()  # else Tune goes on asking, and looks at nothing else
            return None
        if not self._slots.take():
            return None
        trial = super().next_trial()
        if trial is None:
            self._slots.give()
        return trial

    def on_trial_complete(self, trial_id: str, *args: Any, **info: Any) -> None:
        super().on_trial_complete(trial_id, *args, **info)
        self._slots.give()

    def save_to_dir(self, dirpath: str, *args: Any, **kwargs: Any) -> None:
        """What is left to do is known from the storage, never from Tune's files."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()  # Tune saves this too; it lives in the driver


class _Turns(_InTurn, BasicVariantGenerator):
    """Trials in the order of their list."""


class _Draws(_InTurn, SearchGenerator):
    """Trials as a course draws them."""


class _Watch(tune.Callback, tune.Stopper):
    """Tells display and experiment what Tune hears; starts nothing more once a stop is asked."""

    def __init__(self, experiment: Experiment, stop: Stop, display: Display) -> None:
        self._experiment, self._stop, self._display = experiment, stop, display
        self._running: set[str] = set()
        self._losses: Counter[str] = Counter()  # of processes in a row, before they got anywhere

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()  # Tune saves its callbacks with an experiment; ours lives in the driver

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._running.add(str(trial))
        self._experiment.unstarted.discard(spec_of(trial.config).point_id)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict, **info: Any
    ) -> None:
        label = str(trial)
        self._losses.pop(label, None)
        trial.max_failures = -1
        if "status" not in result:
            progress = TrialProgress(**result["progress"])
            if result.get("done"):  # the scheduler has stopped it
                self._running.discard(label)
                self._display.ended(label, _cut_short(label, progress), failed=False)
            else:
                self._display.progressed(label, progress)
        else:
            self._running.discard(label)
            self._ended(label, spec_of(trial.config).point_id, result)

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Its process or node is gone; Tune begins it again when there is room."""
        label = str(trial)
        self._running.discard(label)
        self._losses[label] += 1
        if self._losses[label] > DEATHS_ALLOWED:
            trial.max_failures = 0  # what dies before it has a claim can count it nowhere else
        self._display.left(
            label, f"{'lost':9} {label}: {_last_error(trial)}; it goes on from its checkpoint"
        )

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Its processes are lost again and again before they begin."""
        label = str(trial)
        self._running.discard(label)
        error = f"{label}: {_last_error(trial)}; given up"
        self._experiment.broken.append(error)
        self._display.ended(label, f"{TrialState.BROKEN:9} {error}", failed=True)

    def _ended(self, label: str, point_id: str, result: dict[str, Any]) -> None:
        status = TrialState(result["status"])
        if status is TrialState.ELSEWHERE:
            self._experiment.elsewhere.add(point_id)
            self._display.left(label)
            return
        if status is TrialState.CROWDED:
            self._experiment.crowded.add(point_id)
            self._display.left(label, f"{status:9} {label}: {result['error']}")
            return
        words = f"{status:9} {label}"
        failed = status in (TrialState.FAILED, TrialState.BROKEN)
        if failed:
            words += f": {result['error']}"
        elif result["test_accuracy"] is not None:
            words += f": test accuracy {result['test_accuracy']:.1%}"
        if status is TrialState.BROKEN:
            self._experiment.broken.append(f"{label}: {result['error']}")
        self._display.ended(label, words, failed=failed)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stop.asked and not self._running


def spec_of(config: dict[str, Any]) -> TrialSpec:
    """What a trial's configuration stands for."""
    content = config["spec"]
    return TrialSpec(
        **content | {"point": GridPoint(**content["point"]), "recipe": Recipe(**content["recipe"])}
    )


def _cut_short(label: str, progress: TrialProgress) -> str:
    accuracy = f", validation {progress.valid_accuracy:.1%}" if progress.valid_accuracy else ""
    return f"{TrialState.STOPPED:9} {label}: early, after epoch {progress.epoch}{accuracy}"


def _last_error(trial: Trial) -> str:
    """The last line of what Tune wrote about a trial that has just gone wrong."""
    text = Path(trial.error_file).read_text() if trial.error_file else ""
    last = (text.strip() or "its process is gone").splitlines()[-1]
    return last.rpartition("Error: ")[2][:LAST_ERROR_CHARACTERS]


def _label(trial: Trial) -> str:
    return spec_of(trial.config).point.label
