"""Training and validation are timed apart, whatever interrupts them."""

import json
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from siconvnet.fit import Fit
from stir import STIRDataset
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.keys import checkpoint_key
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

HERE = Surroundings(driver="this", threads=1)
TRAIN, VALID = 0.02, 0.005  # seconds that each batch is made to take; 4 and 4 batches an epoch


@pytest.fixture
def spec(dataset: STIRDataset) -> TrialSpec:
    return TrialSpec(
        point=GridPoint(
            model="standard",
            dataset="bars",
            scenario=2,
            kernel_size=3,
            interpolation=None,
            lr=0.003,
            seed=1,
        ),
        recipe=Recipe(max_epochs=2, patience=2, batch_size=16),
        model_version=1,
        dataset_fingerprint=dataset.fingerprint,
    )


@pytest.fixture(autouse=True)
def slow_batches(monkeypatch: pytest.MonkeyPatch):
    def slowed(step, seconds):
        return lambda self, *batch: (time.sleep(seconds), step(self, *batch))

    monkeypatch.setattr(Fit, "_train_batch", slowed(Fit._train_batch, TRAIN))
    monkeypatch.setattr(Fit, "_valid_batch", slowed(Fit._valid_batch, VALID))


def run(spec: TrialSpec, dataset: STIRDataset, storage: Storage, **options) -> TrialRecord | None:
    return run_trial(spec, dataset, storage, HERE, **options).record


def test_training_and_validation_are_timed_apart(spec, dataset, storage):
    record = run(spec, dataset, storage)
    for epoch in record.epochs:
        assert 4 * TRAIN <= epoch.train_seconds <= epoch.seconds - 4 * VALID
        assert 4 * VALID <= epoch.valid_seconds <= epoch.seconds - 4 * TRAIN


def test_checkpoints_count_neither_as_training_nor_as_validation(
    spec, dataset, storage, monkeypatch
):
    write = Storage.write
    monkeypatch.setattr(Storage, "write", lambda *args: (time.sleep(0.05), write(*args)))
    often = replace(HERE, checkpoint_seconds=0.0)
    first, _ = run_trial(spec, dataset, storage, often).record.epochs
    assert first.seconds > 8 * 0.05
    assert first.train_seconds + first.valid_seconds < first.seconds - 6 * 0.05


def test_seconds_of_an_epoch_in_parts_add_up(spec, dataset, storage):
    calls = count(1)
    assert run(spec, dataset, storage, stop_asked=lambda: next(calls) >= 3) is None
    record = run(spec, dataset, storage)
    assert [one.epoch for one in record.resumptions] == [1]
    assert record.epochs[0].train_seconds >= 4 * TRAIN


def test_an_epoch_resumed_from_a_checkpoint_without_times_has_none(spec, dataset, storage):
    calls = count(1)
    run(spec, dataset, storage, stop_asked=lambda: next(calls) >= 3)
    path = Path(storage.uri) / checkpoint_key(spec.point_id)
    content = torch.load(path, weights_only=True)
    del content["train_seconds"], content["valid_seconds"]
    torch.save(content, path)
    first, second = run(spec, dataset, storage).epochs
    assert (first.train_seconds, first.valid_seconds) == (None, None)
    assert second.train_seconds >= 4 * TRAIN


def test_a_record_without_the_two_times_is_read_and_has_the_same_id(spec, dataset, storage):
    record = run(spec, dataset, storage)
    content = json.loads(record.to_json())
    for epoch in content["epochs"]:
        del epoch["train_seconds"], epoch["valid_seconds"]
    old = TrialRecord.from_json(json.dumps(content).encode())
    assert old.point_id == record.point_id
    assert {epoch.train_seconds for epoch in old.epochs} == {None}
