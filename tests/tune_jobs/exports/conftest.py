import pytest

from lab.records import put_record
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage


def spec(seed: int) -> TrialSpec:
    return TrialSpec(
        point=GridPoint(
            model="standard",
            dataset="bars",
            scenario=2,
            kernel_size=3,
            interpolation=None,
            lr=0.003,
            seed=seed,
        ),
        recipe=Recipe(batch_size=8),
        model_version=1,
        dataset_fingerprint="feed" * 16,
    )


@pytest.fixture
def records(storage: Storage) -> list[TrialRecord]:
    """Two finished trials in the storage."""
    return [put_record(storage, spec(seed), valid_accuracy=seed / 4) for seed in (1, 2)]
