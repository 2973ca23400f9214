"""What a search leaves behind: what it was, what it drew, how each trial ended. No torch, no Ray.

``searches/<study>/search.json`` and ``samples.jsonl``, one line a sample, and
``outcomes/<point_id>.json``, one object for each trial that ended.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from pydantic import with_config

from tune_jobs.point import GridPoint, Recipe, content_of
from tune_jobs.records.schema import (
    STRICT,
    PointId,
    RecordError,
    StudyName,
    Time,
    from_json,
    to_json,
)
from tune_jobs.records.state import SampleEnd

SEARCH_SCHEMA = "stir-search/1"
SAMPLE_SCHEMA = "stir-sample/1"
OUTCOME_SCHEMA = "stir-outcome/1"


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRecord:
    """A search as it is run. ``fixed`` and ``drawn`` are its space, as a study file gives them."""

    study: StudyName
    fixed: dict[str, Any]
    drawn: dict[str, dict[str, Any]]
    trials: int
    rng: int
    sampler: str
    asha: dict[str, float] | None
    written_at: Time

    def to_json(self) -> bytes:
        return to_json(self, SEARCH_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss."""
        return from_json(cls, data, SEARCH_SCHEMA)


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A configuration that a search drew: ``drawn`` are the fields that it did not fix."""

    study: StudyName
    number: int  # counted from 1
    point_id: PointId
    drawn: dict[str, Any]
    point: GridPoint
    recipe: Recipe


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutcome:
    """How the trial of a sample ended.

    ``finished``: the point has a record; ``stopped``: early, after the epochs listed here;
    ``diverged``: its loss was no longer finite, which is an answer; ``failed``: anything else.
    Samples with equal points share one outcome.
    """

    study: StudyName
    point_id: PointId
    status: SampleEnd
    reason: str  # one line; empty if finished
    valid_accuracies: tuple[float, ...]  # 0..1, after each epoch
    test_accuracy: float | None  # of a finished trial
    ended_at: Time

    @property
    def epochs(self) -> int:
        return len(self.valid_accuracies)

    @property
    def best_valid_accuracy(self) -> float | None:
        return max(self.valid_accuracies, default=None)

    @property
    def best_epoch(self) -> int | None:
        """The first of the best epochs, counted from 1."""
        if not self.valid_accuracies:
            return None
        return 1 + self.valid_accuracies.index(max(self.valid_accuracies))

    def to_json(self) -> bytes:
        return to_json(self, OUTCOME_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss."""
        return from_json(cls, data, OUTCOME_SCHEMA)


def samples_to_lines(samples: Iterable[Sample]) -> bytes:
    """One JSON object a line, in the order of the numbers."""
    lines = (json.dumps({"schema": SAMPLE_SCHEMA} | content_of(sample)) for sample in samples)
    return "".join(f"{line}\n" for line in lines).encode()


def samples_from_lines(data: bytes) -> tuple[Sample, ...]:
    """Read what ``samples_to_lines`` wrote; raises RecordError if anything is amiss."""
    samples = tuple(from_json(Sample, line, SAMPLE_SCHEMA) for line in data.splitlines())
    numbers = [sample.number for sample in samples]
    if numbers != list(range(1, len(numbers) + 1)):
        raise RecordError(f"Samples must be numbered 1, 2, 3 and so on; got {numbers!s:.60}.")
    return samples
