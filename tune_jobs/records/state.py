"""The states of a point and of a trial that ended: one vocabulary for the whole service."""

from enum import StrEnum
from typing import Literal


class TrialState(StrEnum):
    """How a point of a study stands in a storage, or how one trial of it ended.

    The values are those that stored objects, ``--json`` and displays show.
    """

    TO_DO = "to do"  # neither record nor failure, and no process runs it
    IN_FLIGHT = "in flight"  # a live process holds its claim
    FINISHED = "finished"  # it has a record
    FAILED = "failed"  # it has a failure, whose reason is stored, and no record
    DIVERGED = "diverged"  # failed because its loss was not finite, as every attempt would
    STOPPED = "stopped"  # ended early by its search, for good
    MISSING = "missing"  # in the evidence of a rule: it has not ended yet
    FOUND = "found"  # its record was there before the trial began
    PAUSED = "paused"  # ended as asked, with a checkpoint to go on from
    ELSEWHERE = "elsewhere"  # another driver runs it
    CROWDED = "crowded"  # the GPU it shares with others had too little memory left
    BROKEN = "broken"  # it could not even store its failure

    @property
    def has_record(self) -> bool:
        """Whether the point has a result in the storage."""
        return self in (TrialState.FINISHED, TrialState.FOUND)

    @property
    def is_answer(self) -> bool:
        """Whether there is nothing more to learn: another attempt would end in the same way."""
        return self.has_record or self in (TrialState.STOPPED, TrialState.DIVERGED)

    @property
    def is_final(self) -> bool:
        """Whether the point is run again only if failed trials are to be tried again."""
        return self.is_answer or self is TrialState.FAILED


# How a point of a grid stands, in the order of tables.
POINT_STATES = (
    TrialState.FINISHED,
    TrialState.FAILED,
    TrialState.IN_FLIGHT,
    TrialState.TO_DO,
)
# How a trial of a search stands, in the order of sentences.
SAMPLE_STATES = (
    TrialState.FINISHED,
    TrialState.STOPPED,
    TrialState.DIVERGED,
    TrialState.FAILED,
    TrialState.IN_FLIGHT,
    TrialState.TO_DO,
)
# What records of studies and searches may say of a run; other states are never stored.
RunState = Literal[TrialState.FINISHED, TrialState.DIVERGED, TrialState.FAILED, TrialState.MISSING]
SampleEnd = Literal[TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED, TrialState.FAILED]
