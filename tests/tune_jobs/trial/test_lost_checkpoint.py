"""A checkpoint that is of no use costs time, never the trial, and the record says so."""

import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from stir import STIRDataset
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.keys import checkpoint_key, record_key
from tune_jobs.records.state import TrialState
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.trial.checkpoint import read_checkpoint, tensors_to_bytes
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

HERE = Surroundings(driver="this", threads=1)


@pytest.fixture(scope="module")
def spec(dataset: STIRDataset, point: GridPoint) -> TrialSpec:
    recipe = Recipe(max_epochs=2, patience=2, batch_size=16)
    return TrialSpec(
        point=point, recipe=recipe, model_version=1, dataset_fingerprint=dataset.fingerprint
    )


def run(spec: TrialSpec, dataset: STIRDataset, storage: Storage, batches: int = 10**9):
    calls = count(1)
    return run_trial(spec, dataset, storage, HERE, stop_asked=lambda: next(calls) >= batches)


@pytest.fixture(scope="module")
def whole(
    spec: TrialSpec, dataset: STIRDataset, tmp_path_factory: pytest.TempPathFactory
) -> TrialRecord:
    record = run(spec, dataset, Storage(tmp_path_factory.mktemp("whole"))).record
    assert record is not None
    return record


@pytest.fixture(scope="module")
def checkpoint(
    spec: TrialSpec, dataset: STIRDataset, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The content of a good one, after one epoch and three batches."""
    storage = Storage(tmp_path_factory.mktemp("cut"))
    assert run(spec, dataset, storage, batches=11).status == TrialState.PAUSED
    return storage.read(checkpoint_key(spec.point_id))


def changed(path: str, value: Any) -> Callable[[bytes], bytes]:
    """The same checkpoint with one of its values another, or none if ``value`` is Ellipsis."""

    def change(data: bytes) -> bytes:
        content = torch.load(io.BytesIO(data), weights_only=True)
        *parents, last = path.split("/")
        inner = content
        for name in parents:
            inner = inner[int(name) if name.isdigit() else name]
        if value is ...:
            del inner[last]
        else:
            inner[int(last) if last.isdigit() else last] = value
        return tensors_to_bytes(content)

    return change


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


DAMAGE = {
    "junk": lambda data: b"junk",
    "nothing": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "an archive of another kind": lambda data: b"PK\5\6" + bytes(18),
    "a pickle": lambda data: pickle.dumps(Harmful()),
    "a saved object": lambda data: tensors_to_bytes({"fit": Harmful}),
    "a list": lambda data: tensors_to_bytes([1, 2]),  # type: ignore[arg-type]
    "no fit": changed("fit", ...),
    "no epochs": changed("epochs", ...),
    "more than it should have": changed("more", 1),
    "an epoch of words": changed("epochs/0/train_loss", "low"),
    "another epoch": changed("epochs/0/epoch", 7),
    "no time": changed("started_at", "yesterday"),
    "no seconds": changed("wall_seconds", float("nan")),
    "a model of another width": changed("fit/model/conv1.weight", torch.zeros(3)),
    "no model": changed("fit/model", None),
    "no optimizer": changed("fit/optimizer/state", {}),
    "averages of another shape": changed("fit/optimizer/state/0/exp_avg", torch.zeros(2)),
    "a batch that no epoch has": changed("fit/batch", 99),
    "an epoch as text": changed("fit/epoch", "2"),
    "sums of another shape": changed("fit/sums", torch.zeros(1)),
    "no best epoch": changed("fit/best", None),
    "best weights of another model": changed("fit/best_weights", {"a": torch.zeros(1)}),
}


def lost_at_once(spec: TrialSpec, dataset: STIRDataset, storage: Storage) -> str:
    """Why the checkpoint was not used, after a trial that began anew and was stopped."""
    assert run(spec, dataset, storage, batches=1).status == TrialState.PAUSED
    left = read_checkpoint(storage, spec.point_id)
    assert left is not None
    assert (left.position, left.resumptions) == ((1, 1), ())
    [lost] = left.lost_checkpoints
    assert "\n" not in lost.reason
    return lost.reason


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_trial_begins_anew_and_knows_why(
    damage: str, checkpoint: bytes, spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    storage.write(checkpoint_key(spec.point_id), DAMAGE[damage](checkpoint))
    assert lost_at_once(spec, dataset, storage)


def test_flipped_bits_are_never_trained_on(
    checkpoint: bytes, spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    key = checkpoint_key(spec.point_id)
    storage.write(key, checkpoint)
    path = Path(storage.uri, key)
    stored = path.read_bytes()
    for place in range(0, len(stored), len(stored) // 8):
        path.write_bytes(stored[:place] + bytes([stored[place] ^ 16]) + stored[place + 1 :])
        assert lost_at_once(spec, dataset, storage).startswith("DamagedError: ")


@pytest.mark.parametrize("damage", ["junk", "averages of another shape"])
def test_the_numbers_are_those_of_an_undisturbed_trial_and_the_record_says_why(
    damage: str,
    checkpoint: bytes,
    spec: TrialSpec,
    dataset: STIRDataset,
    storage: Storage,
    whole: TrialRecord,
):
    storage.write(checkpoint_key(spec.point_id), DAMAGE[damage](checkpoint))
    record = run(spec, dataset, storage).record
    assert record is not None
    assert (record.weights_key, record.test_loss) == (whole.weights_key, whole.test_loss)
    assert (len(record.resumptions), len(record.lost_checkpoints)) == (0, 1)
    stored = storage.read(record_key(spec.point_id))
    assert TrialRecord.from_json(stored).lost_checkpoints == record.lost_checkpoints


def test_what_was_lost_is_remembered_over_later_resumptions(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    storage.write(checkpoint_key(spec.point_id), b"junk")
    for batches in (3, 2):
        assert run(spec, dataset, storage, batches).status == TrialState.PAUSED
    record = run(spec, dataset, storage).record
    assert record is not None
    assert [entry.batch for entry in record.resumptions] == [3, 5]
    assert len(record.lost_checkpoints) == 1


def test_a_good_checkpoint_is_gone_on_from_and_nothing_was_lost(
    checkpoint: bytes, spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    storage.write(checkpoint_key(spec.point_id), checkpoint)
    record = run(spec, dataset, storage).record
    assert record is not None
    assert (len(record.resumptions), record.lost_checkpoints) == (1, ())


def test_a_record_that_does_not_know_of_lost_checkpoints_is_read(whole: TrialRecord):
    old = whole.to_json().replace(b',\n "lost_checkpoints": []', b"")
    assert old != whole.to_json()
    assert TrialRecord.from_json(old) == replace(whole, lost_checkpoints=())
