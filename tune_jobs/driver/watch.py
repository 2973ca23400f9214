"""What Tune reports about the trials of an experiment, noted for the driver and displayed."""

from collections import Counter
from collections.abc import Set
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from tune_jobs.driver.display import Display
from tune_jobs.driver.stop import Stop
from tune_jobs.driver.trainable import spec_of
from tune_jobs.records.state import TrialState
from tune_jobs.storage.claim import DEATHS_ALLOWED
from tune_jobs.trial.outcome import TrialProgress

LAST_ERROR_CHARACTERS = 160


class Watch(tune.Callback, tune.Stopper):
    """Follows the trials of an experiment; no new one starts once a stop was asked for.

    ``unstarted`` are the ids of points whose trials have not begun, ``elsewhere`` of those that
    another driver runs, ``crowded`` of those that ran out of the memory of a GPU they shared.
    ``broken`` are the errors of trials that could not even store their failure.
    """

    def __init__(self, point_ids: Set[str], stop: Stop, display: Display) -> None:
        self.unstarted = set(point_ids)
        self.elsewhere: set[str] = set()
        self.crowded: set[str] = set()
        self.broken: list[str] = []
        self._stop, self._display = stop, display
        self._running: set[str] = set()
        self._losses: Counter[str] = Counter()  # of processes in a row, before any progress

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()  # Tune saves its callbacks; ours lives in the driver only

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._running.add(str(trial))
        self.unstarted.discard(spec_of(trial.config).point_id)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict, **info: Any
    ) -> None:
        label = str(trial)
        self._losses.pop(label, None)
        trial.max_failures = -1
        if "status" not in result:
            progress = TrialProgress(**result["progress"])
            self._display.progressed(label, progress)
            if result.get("done"):  # the scheduler has stopped it
                self._running.discard(label)
                self._display.ended(label, _cut_short(label, progress))
        else:
            self._running.discard(label)
            self._ended(label, spec_of(trial.config).point_id, result)

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Its process or node is gone; Tune starts it again when there is room."""
        label = str(trial)
        self._running.discard(label)
        self._losses[label] += 1
        if self._losses[label] > DEATHS_ALLOWED:
            trial.max_failures = 0  # a process that dies before it has a claim is counted only here
        self._display.left(
            label, f"{'lost':9} {label}: {_last_error(trial)}; it resumes from its checkpoint"
        )

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Its processes are lost again and again before they begin."""
        label = str(trial)
        self._running.discard(label)
        error = f"{label}: {_last_error(trial)}; given up"
        self.broken.append(error)
        self._display.ended(label, f"{TrialState.BROKEN:9} {error}", failed=True)

    def _ended(self, label: str, point_id: str, result: dict[str, Any]) -> None:
        status = TrialState(result["status"])
        if status is TrialState.ELSEWHERE:
            self.elsewhere.add(point_id)
            self._display.left(label)
            return
        if status is TrialState.CROWDED:
            self.crowded.add(point_id)
            self._display.left(label, f"{status:9} {label}: {result['error']}")
            return
        if status is TrialState.PAUSED:
            self._display.paused(label, f"{status:9} {label}: it can resume from its checkpoint")
            return
        message = f"{status:9} {label}"
        failed = status in (TrialState.FAILED, TrialState.BROKEN)
        if failed:
            message += f": {result['error']}"
        elif result["test_accuracy"] is not None:
            message += f": test accuracy {result['test_accuracy']:.1%}"
        if status is TrialState.BROKEN:
            self.broken.append(f"{label}: {result['error']}")
        self._display.ended(label, message, failed=failed)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stop.asked and not self._running


def _cut_short(label: str, progress: TrialProgress) -> str:
    accuracy = f", validation {progress.valid_accuracy:.1%}" if progress.valid_accuracy else ""
    return f"{TrialState.STOPPED:9} {label}: early, after epoch {progress.epoch}{accuracy}"


def _last_error(trial: Trial) -> str:
    """The last line of what Tune wrote about a trial that has just gone wrong."""
    text = Path(trial.error_file).read_text() if trial.error_file else ""
    last = (text.strip() or "its process is gone").splitlines()[-1]
    return last.rpartition("Error: ")[2][:LAST_ERROR_CHARACTERS]
