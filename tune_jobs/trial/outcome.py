"""What a trial reports: how far it is while it runs, and how it ended. No torch, no Ray."""

from dataclasses import dataclass

from tune_jobs.records.state import TrialState
from tune_jobs.records.trial import TrialRecord

CHECKPOINT_SECONDS = 60.0  # between two checkpoints, unless a run asks for others


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialProgress:
    """How far a trial is, for a display; ``valid_accuracy`` is that of the last whole epoch."""

    epoch: int
    max_epochs: int
    valid_accuracy: float | None
    resumed_at: tuple[int, int] | None  # epoch and batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a trial ended, with its record if it has one; ``error`` is one line."""

    status: TrialState
    record: TrialRecord | None = None
    error: str = ""
