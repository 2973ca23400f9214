"""What a finished trial leaves behind: one immutable JSON object. No torch, no Ray."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from pydantic import with_config

from tune_jobs.grid import GridPoint, Recipe, TrialSpec
from tune_jobs.schema import STRICT, RecordError, from_json, to_json

RECORD_SCHEMA = "stir-record/1"
FAILURE_SCHEMA = "stir-failure/1"


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One pass over the training images. Losses are nats per image, accuracies 0..1."""

    epoch: int  # counted from 1
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    seconds: float
    finished_at: str


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Resumption:
    """Where a trial that was cut off went on: the first epoch and batch not yet trained."""

    at: str
    epoch: int  # counted from 1
    batch: int  # counted from 0, validation batches after training batches
    host: str


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


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """A good result, whole. Accuracies are 0..1, losses nats per image, times ISO 8601 in UTC."""

    point_id: str
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
    started_at: str
    finished_at: str
    resumptions: tuple[Resumption, ...]
    weights_key: str
    provenance: Provenance

    def to_json(self) -> bytes:
        return to_json(self, RECORD_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss."""
        record = from_json(cls, data, RECORD_SCHEMA)
        _check_identity(record)
        if not record.epochs or not record.scales:
            raise RecordError("A record must hold at least one epoch and one scale; it holds none.")
        return record


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRecord:
    """Why one attempt at a trial gave no result."""

    point_id: str
    point: GridPoint
    recipe: Recipe
    model_version: int | str
    protocol_version: int
    dataset_fingerprint: str
    attempt: int  # counted from 1
    error: str  # one line
    traceback: str
    epochs: tuple[EpochRecord, ...]
    started_at: str
    failed_at: str
    provenance: Provenance

    def to_json(self) -> bytes:
        return to_json(self, FAILURE_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss."""
        failure = from_json(cls, data, FAILURE_SCHEMA)
        _check_identity(failure)
        return failure


def utc_now() -> str:
    """The time now, as records write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def record_key(point_id: str) -> str:
    return f"records/{point_id}.json"


def failure_key(point_id: str, attempt: int) -> str:
    return f"failures/{point_id}/{attempt}.json"


def point_id_of(key: str) -> str:
    """The point_id in a key under records/, claims/, checkpoints/ or failures/.

    >>> point_id_of("records/0123456789ab.json"), point_id_of("failures/0123456789ab/2.json")
    ('0123456789ab', '0123456789ab')
    """
    return key.split("/")[1].split(".")[0]


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
