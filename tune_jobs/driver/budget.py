"""How much a run may do before it ends: seconds and points."""

import time
from collections.abc import Sequence

from tune_jobs.point import TrialSpec


class Budget:
    """Seconds and points that a run may still use; None is no limit."""

    def __init__(self, *, seconds: float | None = None, points: int | None = None) -> None:
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.points_left = points

    @property
    def seconds_left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def is_spent(self) -> bool:
        return self.points_left == 0 or self.seconds_left == 0

    def take(self, specs: Sequence[TrialSpec]) -> tuple[TrialSpec, ...]:
        """The first of some trials, as many as the budget allows; they count as run."""
        if self.is_spent:
            return ()
        taken = tuple(specs[: self.points_left])
        if self.points_left is not None:
            self.points_left -= len(taken)
        return taken
