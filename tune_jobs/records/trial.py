"""What a finished trial leaves behind: one immutable JSON object. No torch, no Ray."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from pydantic import with_config

from stir.scenarios import SCENARIOS
from tune_jobs import clock
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.keys import Kind, parse_key
from tune_jobs.records.schema import (
    STRICT,
    PointId,
    RecordError,
    Time,
    from_json,
    from_python,
    to_json,
)

RECORD_SCHEMA = "stir-record/1"
FAILURE_SCHEMA = "stir-failure/1"
_DIVERGED = "DivergedError:"  # how errors of such failures began before these said so


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One pass over the training and validation images. Losses are nats per image, accuracies 0..1.

    ``seconds`` is the whole epoch: training, validation, checkpoints and, in the first, the set-up
    of the device. Records written before training and validation were timed apart hold only this.
    """

    epoch: int  # counted from 1
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    seconds: float
    finished_at: Time
    train_seconds: float | None = None  # in training batches; None: not measured
    valid_seconds: float | None = None  # in validation batches; None: not measured


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Resumption:
    """Where a trial that was cut off went on: the first epoch and batch not yet trained."""

    at: Time
    epoch: int  # counted from 1
    batch: int  # counted from 0, validation batches after training batches
    host: str
    backend: str | None = None  # as in Provenance


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class LostCheckpoint:
    """A checkpoint that could not be gone on from, so that the trial began anew; and why."""

    at: Time
    host: str
    reason: str  # one line


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleRecord:
    """The test split at one object scale (pixels): images, correct ones, summed loss in nats."""

    scale: int
    total: int
    correct: int
    loss_sum: float


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What ran where; nothing here enters the point_id."""

    code_version: str
    git_sha: str | None
    git_dirty: bool | None
    python_version: str
    torch_version: str
    numpy_version: str
    ray_version: str | None  # None when the trial ran without Ray
    device: str
    threads: int
    host: str
    # What computed the layers: "torch", or compiled loops and their instruction set. None: a record
    # of a version that did not say.
    backend: str | None = None
    processor: str | None = None  # or the GPU, as its maker calls it; None: likewise


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """A good result, whole. Accuracies are 0..1, losses nats per image, times ISO 8601 in UTC."""

    point_id: PointId
    point: GridPoint
    recipe: Recipe
    model_version: int | str
    protocol_version: int
    dataset_fingerprint: str
    num_classes: int
    num_parameters: int
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    best_valid_accuracy: float
    scales: tuple[ScaleRecord, ...]
    test_accuracy: float
    test_loss: float
    wall_seconds: float  # spent in training and testing, over all resumptions
    started_at: Time
    finished_at: Time
    resumptions: tuple[Resumption, ...]
    weights_key: str
    provenance: Provenance
    lost_checkpoints: tuple[LostCheckpoint, ...] = ()

    @property
    def collapsed(self) -> bool:
        """Whether the trial never got to twice chance on the validation images."""
        return has_collapsed(self.best_valid_accuracy, self.num_classes)

    def to_json(self) -> bytes:
        return to_json(self, RECORD_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss.

        Numbers that contradict each other, such as an accuracy and its counts, are.
        """
        record = from_json(cls, data, RECORD_SCHEMA)
        _check_identity(record)
        _check_numbers(record)
        _check_scales(record)
        _check_weights(record)
        return record


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRecord:
    """Why one attempt at a trial gave no result."""

    point_id: PointId
    point: GridPoint
    recipe: Recipe
    model_version: int | str
    protocol_version: int
    dataset_fingerprint: str
    attempt: int  # counted from 1
    error: str  # one line
    traceback: str
    epochs: tuple[EpochRecord, ...]
    started_at: Time
    failed_at: Time
    provenance: Provenance
    diverged: bool | None = None  # whether its loss was not finite; None in older failures

    @property
    def has_diverged(self) -> bool:
        """Whether its loss was not finite: an answer, the same on every attempt."""
        if self.diverged is None:
            return self.error.startswith(_DIVERGED)
        return self.diverged

    def to_json(self) -> bytes:
        return to_json(self, FAILURE_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss."""
        failure = from_json(cls, data, FAILURE_SCHEMA)
        _check_identity(failure)
        return failure


def point_of_record(data: bytes) -> GridPoint:
    """Only the point of a record, the rest unchecked; RecordError if there is none."""
    try:
        point = json.loads(data)["point"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise RecordError(f"A record must be JSON with a point; got {error!r:.60}.") from None
    return from_python(GridPoint, point)


@dataclass(frozen=True, slots=True)
class Score:
    """What a record says first: its point, and how well it did on the test images (0..1)."""

    point: GridPoint
    test_accuracy: float


def score_of_record(data: bytes) -> Score:
    """Only the point and accuracy of a record, the rest unchecked; RecordError if they are none."""
    point = point_of_record(data)
    accuracy = json.loads(data).get("test_accuracy")
    if not isinstance(accuracy, float | int) or not 0 <= accuracy <= 1:
        raise RecordError(f"test_accuracy of a record must be in 0..1; got {accuracy!r:.60}.")
    return Score(point, float(accuracy))


def has_collapsed(best_valid_accuracy: float, num_classes: int) -> bool:
    """Whether a run never got to twice chance on the validation images."""
    return best_valid_accuracy < 2 / num_classes


def utc_now() -> str:
    """The time now, as records write it."""
    return datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")


def _check_identity(record: TrialRecord | FailureRecord) -> None:
    spec = TrialSpec(
        point=record.point,
        recipe=record.recipe,
        model_version=record.model_version,
        dataset_fingerprint=record.dataset_fingerprint,
        protocol_version=record.protocol_version,
    )
    if spec.point_id != record.point_id:
        raise RecordError(
            f"A record's point_id must be that of its contents, {spec.point_id}; "
            f"it says {record.point_id!r}."
        )


def _check_weights(record: TrialRecord) -> None:
    key = parse_key(record.weights_key)
    if key is None or key.kind is not Kind.WEIGHTS or key.point_id != record.point_id:
        raise RecordError(
            f"weights_key must be of the record's own point, {record.point_id}; "
            f"got {record.weights_key!r:.60}."
        )


def _check_numbers(record: TrialRecord) -> None:
    if not record.epochs:
        raise RecordError("A record must hold at least one epoch; it holds none.")
    epochs = [epoch.epoch for epoch in record.epochs]
    if epochs != list(range(1, len(epochs) + 1)) or record.best_epoch not in epochs:
        raise RecordError(
            f"Epochs must be numbered 1, 2, 3 and so on with the best among them; "
            f"got {epochs!s:.60} and {record.best_epoch}."
        )
    if record.num_classes < 2:
        raise RecordError(f"A dataset must have at least 2 classes; got {record.num_classes}.")
    best = record.epochs[record.best_epoch - 1].valid_accuracy
    if not math.isclose(record.best_valid_accuracy, best, abs_tol=1e-9):
        raise RecordError(
            f"best_valid_accuracy must be that of the best epoch, {best}; "
            f"got {record.best_valid_accuracy}."
        )
    shares = [record.best_valid_accuracy, record.test_accuracy] + [
        share for epoch in record.epochs for share in (epoch.train_accuracy, epoch.valid_accuracy)
    ]
    if not all(0 <= share <= 1 for share in shares):
        raise RecordError(f"An accuracy must lie in 0..1; got {min(shares)} to {max(shares)}.")


def _check_scales(record: TrialRecord) -> None:
    counts = {scale.scale: (scale.correct, scale.total) for scale in record.scales}
    if len(counts) != len(record.scales):
        raise RecordError("No scale may come twice in a record; one does.")
    if not all(0 <= correct <= total and total > 0 for correct, total in counts.values()):
        raise RecordError(
            "At each scale 0 <= correct <= total and total > 0 must hold; it does not."
        )
    if record.point.scenario not in SCENARIOS:
        raise RecordError(
            f"A scenario must be one of {', '.join(map(str, SCENARIOS))}; "
            f"got {record.point.scenario}."
        )
    tested = SCENARIOS[record.point.scenario].test_scales
    if missing := set(tested) - set(counts):
        raise RecordError(f"Every test scale must have its counts; missing: {sorted(missing)}.")
    correct, total = (sum(counts[scale][i] for scale in tested) for i in range(2))
    if not math.isclose(correct / total, record.test_accuracy, abs_tol=1e-9):
        raise RecordError(
            f"test_accuracy must be that of the test scales, {correct}/{total}; "
            f"got {record.test_accuracy}."
        )
    loss = sum(scale.loss_sum for scale in record.scales if scale.scale in tested) / total
    if not math.isclose(loss, record.test_loss, rel_tol=1e-6, abs_tol=1e-9):
        raise RecordError(
            f"test_loss must be that of the test scales, {loss}; got {record.test_loss}."
        )
