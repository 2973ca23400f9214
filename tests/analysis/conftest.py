"""Records as trials leave them, made to measure."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stir.scenarios import SCALES, SCENARIOS
from tune_jobs.point import GridPoint, Recipe, TrialSpec, cell_of
from tune_jobs.records.evaluation import Evaluation, IndexMaps, ObjectIndex
from tune_jobs.records.keys import evaluation_key, failure_key, maps_key, record_key, study_key
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import Choice, RateEvidence, RunEvidence, StudyPoint, StudyRecord
from tune_jobs.records.trial import EpochRecord, FailureRecord, Provenance, ScaleRecord, TrialRecord
from tune_jobs.storage import Storage

PROVENANCE = Provenance(
    code_version="0.1.0",
    git_sha="c0ffee",
    git_dirty=False,
    python_version="3.11.7",
    torch_version="2.13.0",
    numpy_version="2.4.6",
    ray_version=None,
    device="cpu",
    threads=1,
    host="lab",
)
NUM_CLASSES = 36
PUBLISHED = Recipe()


def spec_of(recipe: Recipe, **point: object) -> TrialSpec:
    values = {
        "model": "standard",
        "dataset": "emoji",
        "scenario": 2,
        "kernel_size": 7,
        "interpolation": None,
        "lr": 1e-3,
        "seed": 1,
    }
    return TrialSpec(
        point=GridPoint(**(values | point)),
        recipe=recipe,
        model_version=1,
        dataset_fingerprint="feed" * 4,
    )


def epochs_of(count: int, valid_accuracy: float) -> tuple[EpochRecord, ...]:
    return tuple(
        EpochRecord(
            epoch=number,
            train_loss=3.0 / number,
            train_accuracy=min(1.0, number / count),
            valid_loss=3.5 / number,
            valid_accuracy=valid_accuracy * number / count,
            seconds=0.5 + number,
            train_seconds=number / 2,
            valid_seconds=0.25,
            finished_at=f"2026-11-22T10:{number % 60:02d}:00.000+00:00",
        )
        for number in range(1, count + 1)
    )


def record_of(
    *,
    recipe: Recipe = PUBLISHED,
    correct: int = 9,
    valid_accuracy: float = 0.9,
    num_epochs: int = 3,
    **point: object,
) -> TrialRecord:
    """A finished trial that got ``correct`` of 36 images right at each scale."""
    spec = spec_of(recipe, **point)
    epochs = epochs_of(num_epochs, valid_accuracy)
    tested = len(SCENARIOS[spec.point.scenario].test_scales)
    return TrialRecord(
        point_id=spec.point_id,
        point=spec.point,
        recipe=recipe,
        model_version=1,
        protocol_version=spec.protocol_version,
        dataset_fingerprint=spec.dataset_fingerprint,
        num_classes=NUM_CLASSES,
        num_parameters=12_345,
        epochs=epochs,
        best_epoch=num_epochs,
        best_valid_accuracy=epochs[-1].valid_accuracy,
        scales=tuple(
            ScaleRecord(scale=scale, total=36, correct=correct, loss_sum=40.0) for scale in SCALES
        ),
        test_accuracy=(correct * tested) / (36 * tested),
        test_loss=40.0 / 36,
        wall_seconds=12.5,
        started_at="2026-11-22T10:00:00.000+00:00",
        finished_at="2026-11-22T10:05:00.000+00:00",
        resumptions=(),
        weights_key=f"weights/{spec.point_id}-000000000000.pt",
        provenance=PROVENANCE,
    )


def failure_of(*, error: str = "Loss became infinite.", attempt: int = 1, **point: object):
    spec = spec_of(PUBLISHED, **point)
    return FailureRecord(
        point_id=spec.point_id,
        point=spec.point,
        recipe=spec.recipe,
        model_version=1,
        protocol_version=spec.protocol_version,
        dataset_fingerprint=spec.dataset_fingerprint,
        attempt=attempt,
        error=error,
        traceback="Traceback",
        epochs=epochs_of(2, 0.5),
        started_at="2026-11-22T10:00:00.000+00:00",
        failed_at="2026-11-22T10:01:00.000+00:00",
        provenance=PROVENANCE,
    )


@pytest.fixture(scope="session")
def make_record() -> Callable[..., TrialRecord]:
    return record_of


@pytest.fixture(scope="session")
def make_failure() -> Callable[..., FailureRecord]:
    return failure_of


def phase_of(*records: TrialRecord, lr: float | None, undecided: str = "") -> StudyRecord:
    """The first phase of the study ``paper`` over some records, and the rate it chose."""
    rates = tuple(
        RateEvidence(
            lr=record.point.lr,
            median=record.best_valid_accuracy,
            sound_share=1.0,
            runs=(
                RunEvidence(
                    point_id=record.point_id,
                    seed=record.point.seed,
                    outcome=TrialState.FINISHED,
                    best_valid_accuracy=record.best_valid_accuracy,
                    collapsed=False,
                ),
            ),
        )
        for record in records
    )
    return StudyRecord(
        study="paper",
        phase="rates",
        recipe=PUBLISHED,
        rule="paper",
        points=tuple(
            StudyPoint(point_id=r.point_id, point=r.point, reported=r.point.lr == lr)
            for r in records
        ),
        choices=(
            Choice(
                cell=cell_of(records[0].point),
                rule="paper",
                lr=lr,
                undecided=undecided,
                rates=rates,
            ),
        ),
        written_at="2026-11-22T10:00:00.000+00:00",
    )


@pytest.fixture(scope="session")
def make_phase() -> Callable[..., StudyRecord]:
    return phase_of


PAIRS = ((64, 49), (49, 64), (48, 33), (33, 48), (32, 17), (17, 32))
OBJECTS = (3, 2)  # classes and instances
FIRST_OF_SECOND = ObjectIndex(1, 0)


def evaluation_of(
    record: TrialRecord, *, error: float = 0.5, stages: int = 2, channels: tuple[int, ...] = (2, 3)
) -> Evaluation:
    """One error for all pairs, kernels that follow the object at r = 1 in every channel."""
    sizes = np.arange(48, dtype=np.float32) + 7
    return Evaluation(
        point_id=record.point_id,
        weights_key=record.weights_key,
        equivariance=np.full((stages, *OBJECTS, len(PAIRS)), error),
        pairs=np.array(PAIRS),
        pool_scales=tuple(np.tile(sizes, (count, *OBJECTS, 1)) for count in channels),
        scales=np.array(SCALES),
    )


def maps_of(record: TrialRecord, *, place: ObjectIndex = FIRST_OF_SECOND) -> IndexMaps:
    """Maps of 3 x 3 pixels whose kernel size is 7 + 2 * channel, at two scales."""
    sizes = (
        np.full((2, 2, 3, 3), 7, np.uint8) + 2 * np.arange(2, dtype=np.uint8)[:, None, None, None]
    )
    return IndexMaps(
        point_id=record.point_id,
        weights_key=record.weights_key,
        object=place,
        maps=(sizes, sizes),
        scales=np.array([17, 64]),
    )


@pytest.fixture(scope="session")
def make_evaluation() -> Callable[..., Evaluation]:
    return evaluation_of


@pytest.fixture(scope="session")
def make_maps() -> Callable[..., IndexMaps]:
    return maps_of


@pytest.fixture(scope="session")
def put() -> Callable[..., None]:
    """Store records, failures, phases of studies and evaluations in a storage folder."""

    def put(folder: Path, *things) -> None:
        for thing in things:
            match thing:
                case StudyRecord():
                    key, data = study_key(thing.study, thing.phase), thing.to_json()
                case FailureRecord():
                    key, data = failure_key(thing.point_id, thing.attempt), thing.to_json()
                case TrialRecord():
                    key, data = record_key(thing.point_id), thing.to_json()
                case Evaluation():
                    key, data = evaluation_key(thing.point_id), thing.to_npz()
                case IndexMaps():
                    key, data = maps_key(thing.point_id, thing.object), thing.to_npz()
            Storage(folder).write(key, data)

    return put
