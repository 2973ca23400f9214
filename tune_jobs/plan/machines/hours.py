"""How long what is left of a study takes on kinds of machine, as far as it was measured; pure."""

from collections.abc import Callable, Set
from functools import cache
from typing import Protocol

from tune_jobs.plan.cost import Here, Source
from tune_jobs.plan.machines.fleets import TrialHours
from tune_jobs.plan.machines.kinds import Machine
from tune_jobs.plan.prior import PRIOR_GPU


class Left(Protocol):
    """What is known of the time that is left: of a grid's trials, or of a search's."""

    @property
    def trial_seconds_left(self) -> float | None: ...

    @property
    def longest_seconds_left(self) -> float: ...

    @property
    def sources(self) -> Set[Source]: ...


def hours_on(
    left: Left, with_gpu: Callable[[str], tuple[Here, Left]]
) -> Callable[[Machine], TrialHours | None]:
    """What trials take on a machine: on its CPUs what is ``left``, on its GPUs as was measured.

    ``with_gpu`` gives machines that have a GPU of some name, as far as they are known, and what is
    left there. None where that GPU was not measured: another says little of it.
    """

    @cache
    def on_gpu(gpu: str) -> TrialHours | None:
        here, there = with_gpu(gpu)
        measured = here.models or gpu == PRIOR_GPU or Source.RECORDS in there.sources
        nothing = left.trial_seconds_left == 0
        return _hours(there) if measured or nothing else None

    return lambda machine: on_gpu(machine.gpu) if machine.gpus else _hours(left)


def _hours(left: Left) -> TrialHours | None:
    seconds = left.trial_seconds_left
    if seconds is None:
        return None
    return TrialHours(all=seconds / 3600, longest=left.longest_seconds_left / 3600)
