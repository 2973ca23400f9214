"""Results made up without training, which a test or a benchmark puts into a storage."""

from dataclasses import replace
from pathlib import Path

from tune_jobs.point import TrialSpec
from tune_jobs.records.keys import failure_key, record_key
from tune_jobs.records.trial import EpochRecord, FailureRecord, Provenance, ScaleRecord, TrialRecord
from tune_jobs.storage import Storage

SCALES = range(17, 65)
WHEN = "2026-01-01T00:00:00.000+00:00"
PROVENANCE = Provenance(
    code_version="1",
    git_sha=None,
    git_dirty=None,
    python_version="3.11",
    torch_version="2",
    numpy_version="2",
    ray_version=None,
    device="cpu",
    threads=1,
    host="here",
)


def put_record(
    storage: Storage,
    spec: TrialSpec,
    *,
    valid_accuracy: float,
    epochs: int = 3,
    epoch_seconds: float = 2.0,
    correct: int = 2,
) -> TrialRecord:
    """Store the record of a trial that had the same validation accuracy after every epoch.

    It has ``correct`` of 4 test images right at every scale.
    """
    record = TrialRecord(
        point_id=spec.point_id,
        point=spec.point,
        recipe=spec.recipe,
        model_version=spec.model_version,
        protocol_version=spec.protocol_version,
        dataset_fingerprint=spec.dataset_fingerprint,
        num_classes=4,
        num_parameters=1000,
        epochs=tuple(
            EpochRecord(
                epoch=number,
                train_loss=0.5,
                train_accuracy=0.5,
                valid_loss=0.5,
                valid_accuracy=valid_accuracy,
                seconds=epoch_seconds,
                finished_at=WHEN,
            )
            for number in range(1, epochs + 1)
        ),
        best_epoch=1,
        best_valid_accuracy=valid_accuracy,
        scales=tuple(
            ScaleRecord(scale=scale, total=4, correct=correct, loss_sum=1.0) for scale in SCALES
        ),
        test_accuracy=correct / 4,
        test_loss=0.25,
        wall_seconds=epochs * epoch_seconds,
        started_at=WHEN,
        finished_at=WHEN,
        resumptions=(),
        weights_key=f"weights/{spec.point_id}-000000000000.pt",
        provenance=PROVENANCE,
    )
    storage.write(record_key(spec.point_id), record.to_json())
    return record


def put_failure(storage: Storage, spec: TrialSpec, error: str) -> None:
    """Store one more failed attempt at a point."""
    attempt = 1 + sum(1 for _ in storage.list(f"failures/{spec.point_id}"))
    failure = FailureRecord(
        point_id=spec.point_id,
        point=spec.point,
        recipe=spec.recipe,
        model_version=spec.model_version,
        protocol_version=spec.protocol_version,
        dataset_fingerprint=spec.dataset_fingerprint,
        attempt=attempt,
        error=error,
        traceback="",
        epochs=(),
        started_at=WHEN,
        failed_at=WHEN,
        provenance=PROVENANCE,
    )
    storage.write(failure_key(spec.point_id, attempt), failure.to_json())


def keys(uri: str | Path, *folders: str) -> list[str]:
    """What a storage holds below folders; no draft, which a process that is killed may leave."""
    storage = Storage(uri)
    return [item.key for folder in folders for item in storage.list(folder)]


def numbers(record: TrialRecord) -> tuple[object, ...]:
    """What two runs of one trial must agree on to the last digit: all but when and how long."""
    untimed = {"seconds": 0.0, "train_seconds": None, "valid_seconds": None, "finished_at": ""}
    epochs = [replace(epoch, **untimed) for epoch in record.epochs]
    return epochs, record.scales, record.test_accuracy, record.test_loss, record.weights_key
