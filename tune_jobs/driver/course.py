"""A search while it runs, as Tune sees it: which trial comes next, and which are stopped early."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import SearchAlgorithm, Searcher

from tune_jobs.driver.stop import Stop
from tune_jobs.driver.trainable import spec_of
from tune_jobs.driver.turns import Slots, searcher_in_turn
from tune_jobs.errors import StorageError
from tune_jobs.records.schema import RecordError
from tune_jobs.records.search import Sample
from tune_jobs.records.state import TrialState
from tune_jobs.search.ledger import Ledger
from tune_jobs.study.search import Asha

_NO_CONTROLLER: Any = None  # ASHA does not use Tune's controller


class Course(Searcher):
    """The trials of a search: samples that are to be run again, then new ones while there are any.

    At most ``limit`` of them; None is no limit. ``handed_out`` are the ids of their points.
    """

    space = None  # it is sampled while the search runs

    def __init__(self, ledger: Ledger, todo: Sequence[Sample], limit: int | None = None) -> None:
        super().__init__()
        self._ledger, self._todo, self._limit = ledger, list(todo), limit
        self._point_ids: dict[str, str] = {}  # by Tune's trial_id
        self.handed_out: set[str] = set()

    @property
    def most(self) -> int:
        """How many trials there can be at most."""
        return len(self._todo) + self._ledger.undrawn

    @property
    def has_next(self) -> bool:
        """Whether there is a sample to hand out; if need be, one is drawn to find out."""
        sample = self._next()
        if sample:
            self._todo.insert(0, sample)
        return sample is not None

    @property
    def is_adaptive(self) -> bool:
        """Whether what is drawn depends on how earlier trials ended."""
        return self._ledger.search.sampler != "random"

    def in_turn(self, slots: Slots, stop: Stop) -> SearchAlgorithm:
        """What Tune asks for the next trial."""
        return searcher_in_turn(self, slots, stop)

    def scheduler(self) -> TrialScheduler:
        """What stops trials early: ASHA, if the search asks for it."""
        asha = self._ledger.search.asha
        return Halving(self._ledger, asha) if asha else FIFOScheduler()

    def label(self, trial: Trial) -> str:
        """A short name; trials that differ have different ones."""
        spec = spec_of(trial.config)
        drawn = self._ledger.search.space.drawn
        of_recipe = {name: value for name, value in asdict(spec.recipe).items() if name in drawn}
        return " ".join(
            [spec.point.label, *(f"{name}={value}" for name, value in of_recipe.items())]
        )

    def suggest(self, trial_id: str) -> Any:
        """The configuration of Tune's next trial."""
        if self._limit is not None and len(self.handed_out) >= self._limit:
            return Searcher.FINISHED
        try:
            sample = self._next()
        except (
            StorageError,
            RecordError,
        ):  # raised again, by name, where the driver reads the storage
            sample = None
        if sample is None:
            return Searcher.FINISHED
        self.handed_out.add(sample.point_id)
        self._point_ids[trial_id] = sample.point_id
        return {"spec": asdict(self._ledger.spec(sample))}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        if result and "status" in result and TrialState(result["status"]).is_final:
            with suppress(StorageError):  # recorded later, by Ledger.update
                self._ledger.note(self._point_ids[trial_id])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what is drawn and done is known from the storage, never from Tune's files."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``save``."""

    def _next(self) -> Sample | None:
        while self._todo:
            sample = self._todo.pop(0)
            if not self._ledger.has_news_of(sample.point_id):  # else another driver has run it
                return sample
        known = {sample.point_id for sample in self._ledger.samples}
        while self._ledger.undrawn:
            sample = self._ledger.draw()
            if sample.point_id not in known:  # else its trial has run, or runs
                return sample
        return None


class Halving(FIFOScheduler):
    """Tune's ASHA; it also knows the trials of earlier drivers, and its decisions are stored.

    It compares the best validation accuracies so far. A trial in its last epoch is never stopped.
    """

    def __init__(self, ledger: Ledger, asha: Asha) -> None:
        super().__init__()
        self._asha = ASHAScheduler(
            time_attr="epoch",
            metric="best_valid_accuracy",
            mode="max",
            max_t=max(ledger.search.space.probes("max_epochs")),
            grace_period=asha.grace_epochs,
            reduction_factor=asha.reduction_factor,
            stop_last_trials=False,
        )
        self._ledger = ledger
        self._accuracies: dict[str, list[float]] = {}  # after each epoch, by point_id
        for sample in ledger.distinct:
            outcome = ledger.outcomes.get(sample.point_id)
            if outcome:
                earlier: Any = SimpleNamespace(trial_id=sample.point_id)
                self._asha.on_trial_add(_NO_CONTROLLER, earlier)
                self._catch_up(earlier, sample.point_id, outcome.valid_accuracies)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()  # Tune saves its schedulers with an experiment; ours lives in the driver

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._asha.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        accuracy = result.get("progress/valid_accuracy")
        if accuracy is None:  # it has only begun, or it has ended
            return TrialScheduler.CONTINUE
        point_id, epoch = spec_of(trial.config).point_id, result["progress/epoch"]
        done = len(self._accuracies.get(point_id, ()))
        if epoch <= done:  # trained again, after its process died
            return TrialScheduler.CONTINUE
        if epoch > done + 1:  # it resumed from a checkpoint, and was not stopped before
            before = self._ledger.accuracies_so_far(point_id)
            self._catch_up(trial, point_id, before[done : epoch - 1])
        decision = self._judge(trial, point_id, accuracy)
        if decision == TrialScheduler.STOP and epoch < result["progress/max_epochs"]:
            reason = f"asha: others were better after epoch {epoch}"
            with suppress(StorageError):  # a decision that cannot be stored is not carried out
                self._ledger.stop(point_id, reason, self._accuracies[point_id])
                return TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def _catch_up(self, trial: Any, point_id: str, accuracies: Sequence[float]) -> None:
        for accuracy in accuracies:
            self._judge(trial, point_id, accuracy)

    def _judge(self, trial: Any, point_id: str, accuracy: float) -> str:
        """ASHA's decision on a trial after one more epoch."""
        accuracies = self._accuracies.setdefault(point_id, [])
        accuracies.append(accuracy)
        measured = {"epoch": len(accuracies), "best_valid_accuracy": max(accuracies)}
        return self._asha.on_trial_result(_NO_CONTROLLER, trial, measured)
