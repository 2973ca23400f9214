"""What a phase of a study was: its points, and the learning rates chosen from them.

One JSON object a phase, ``studies/<study>/<phase>.json``. No torch, no Ray.
"""

from dataclasses import dataclass
from typing import Self

from pydantic import with_config

from tune_jobs.point import Cell, GridPoint, Recipe
from tune_jobs.records.schema import (
    STRICT,
    PointId,
    RecordError,
    StudyName,
    Time,
    from_json,
    to_json,
)
from tune_jobs.records.state import RunState

STUDY_SCHEMA = "stir-study/1"


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class RunEvidence:
    """One seed at one rate. ``diverged``: its last attempt ended with a loss that is not finite.

    ``best_valid_accuracy`` (0..1) and ``collapsed`` (it stayed below twice chance) are those of a
    finished run, else None.
    """

    point_id: PointId
    seed: int
    outcome: RunState
    best_valid_accuracy: float | None
    collapsed: bool | None


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class RateEvidence:
    """A learning rate's runs. ``median`` is of their best validation accuracies, ``sound_share``
    the share of them that did not collapse; None while a run is not there to count."""

    lr: float
    median: float | None
    sound_share: float | None
    runs: tuple[RunEvidence, ...]


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The learning rate of a cell and what it was chosen from.

    ``lr`` is None where the rule could not decide; ``undecided`` then says why, else it is empty.
    """

    cell: Cell
    rule: str
    lr: float | None
    undecided: str
    rates: tuple[RateEvidence, ...]  # ascending


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPoint:
    """A point of a phase. ``reported``: it counts in tables and figures of the study; false at
    learning rates that were not chosen, and in cells that are undecided."""

    point_id: PointId
    point: GridPoint
    reported: bool


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """A phase as it was run, whole. ``rule`` is None where the phase selects nothing."""

    study: StudyName
    phase: StudyName
    recipe: Recipe
    rule: str | None
    points: tuple[StudyPoint, ...]
    choices: tuple[Choice, ...]  # one a cell, where there is a rule
    written_at: Time

    def to_json(self) -> bytes:
        return to_json(self, STUDY_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss."""
        record = from_json(cls, data, STUDY_SCHEMA)
        for choice in record.choices:
            if (choice.lr is None) != bool(choice.undecided):
                raise RecordError(
                    f"A cell must have a learning rate or a reason why not; {choice.cell.label} "
                    f"has lr {choice.lr!r} and undecided {choice.undecided!r}."
                )
        return record
