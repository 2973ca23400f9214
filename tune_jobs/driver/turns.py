"""When trials get their turn: at most so many at once, in the order of their source."""

import threading
from collections.abc import Sequence, Set
from dataclasses import asdict
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm, Searcher, SearchGenerator
from ray.tune.search.basic_variant import BasicVariantGenerator

from tune_jobs.driver.stop import Stop
from tune_jobs.driver.trainable import spec_of
from tune_jobs.point import TrialSpec


class Slots:
    """How many trials may run at once, over all experiments; None is no limit but Ray's."""

    def __init__(self, count: int | None) -> None:
        self._free = threading.Semaphore(count) if count else None

    def take(self) -> bool:
        return self._free is None or self._free.acquire(blocking=False)

    def give(self) -> None:
        if self._free is not None:
            self._free.release()


class Trials(Protocol):
    """The trials of one Tune experiment: a list of them, or those that a search draws."""

    @property
    def space(self) -> dict[str, Any] | None:
        """The configurations, where they are known from the start."""
        ...

    @property
    def most(self) -> int:
        """How often Tune may sample the space."""
        ...

    @property
    def is_adaptive(self) -> bool:
        """Whether the next trial depends on how earlier ones ended."""
        ...

    @property
    def handed_out(self) -> Set[str]:
        """The point ids of trials that no other experiment should run."""
        ...

    def scheduler(self) -> TrialScheduler | None:
        """What stops trials early, if anything does."""
        ...

    def label(self, trial: Trial) -> str:
        """A short name; trials that differ have different ones."""
        ...

    def in_turn(self, slots: Slots, stop: Stop) -> SearchAlgorithm:
        """What Tune asks for the next trial."""
        ...


class TrialList:
    """Trials in a given order."""

    most, is_adaptive = 1, False

    def __init__(self, specs: Sequence[TrialSpec]) -> None:
        self.specs = specs
        self.handed_out = frozenset(spec.point_id for spec in specs)

    @property
    def space(self) -> dict[str, Any]:
        return {"spec": tune.grid_search([asdict(spec) for spec in self.specs])}

    def scheduler(self) -> None:
        return None

    def label(self, trial: Trial) -> str:
        return spec_of(trial.config).point.label

    def in_turn(self, slots: Slots, stop: Stop) -> SearchAlgorithm:
        return _ListInTurn(slots, stop)


def searcher_in_turn(searcher: Searcher, slots: Slots, stop: Stop) -> SearchAlgorithm:
    """Trials as a searcher suggests them, each as soon as there is a slot for it."""
    return _SearcherInTurn(slots, stop, searcher)


class _InTurn(SearchAlgorithm):
    """Hands out another source's trials, each as soon as there is a slot for it."""

    def __init__(self, slots: Slots, stop: Stop, *source: Any) -> None:
        super().__init__(*source)
        self._slots, self._stop = slots, stop

    def next_trial(self) -> Trial | None:
        if self._stop.asked:
            self.set_finished()  # else Tune goes on asking and does nothing else
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
        """Nothing: what is left to do is known from the storage, never from Tune's files."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()  # Tune saves its search algorithm; ours lives in the driver only


class _ListInTurn(_InTurn, BasicVariantGenerator):
    pass


class _SearcherInTurn(_InTurn, SearchGenerator):
    pass
