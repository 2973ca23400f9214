import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from lab.processes import wait_for
from lab.records import numbers
from siconvnet import build_model
from siconvnet.fast import backend
from stir import SCENARIOS, STIRDataset
from tune_jobs.errors import DeviceLostError, StorageError
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.keys import checkpoint_key, claim_key, record_key
from tune_jobs.records.state import TrialState
from tune_jobs.records.trial import FailureRecord, TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.storage import claim as claims
from tune_jobs.storage.claim import read_claim, write_claim
from tune_jobs.trial.checkpoint import read_checkpoint
from tune_jobs.trial.outcome import Outcome
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

HERE = Surroundings(driver="this", threads=1)


@pytest.fixture
def spec(dataset: STIRDataset, point: GridPoint) -> TrialSpec:
    recipe = Recipe(max_epochs=4, patience=4, batch_size=16)
    return TrialSpec(
        point=point, recipe=recipe, model_version=1, dataset_fingerprint=dataset.fingerprint
    )


@pytest.fixture(scope="session")
def whole(
    dataset: STIRDataset, point: GridPoint, tmp_path_factory: pytest.TempPathFactory
) -> TrialRecord:
    """The record of the same trial when nothing disturbs it."""
    recipe = Recipe(max_epochs=4, patience=4, batch_size=16)
    spec = TrialSpec(
        point=point, recipe=recipe, model_version=1, dataset_fingerprint=dataset.fingerprint
    )
    return finished(run_trial(spec, dataset, Storage(tmp_path_factory.mktemp("whole")), HERE))


def finished(outcome: Outcome) -> TrialRecord:
    assert outcome.status == "finished", outcome.error
    assert outcome.record is not None
    return outcome.record


def stop_after(batches: int):
    calls = count(1)
    return lambda: next(calls) >= batches


def keys(storage: Storage) -> list[str]:
    return sorted(str(path.relative_to(storage.uri)) for path in Path(storage.uri).rglob("*.*"))


def test_a_trial_leaves_its_record_and_weights_and_nothing_else(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    record = finished(run_trial(spec, dataset, storage, HERE))
    assert keys(storage) == [record_key(spec.point_id), record.weights_key]
    assert TrialRecord.from_json(storage.read(record_key(spec.point_id))) == record


def test_the_record_says_what_the_stored_weights_answer(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    record = finished(run_trial(spec, dataset, storage, HERE))
    model = build_model("standard", in_channels=1, num_classes=4, kernel_size=3)
    weights = torch.load(io.BytesIO(storage.read(record.weights_key)), weights_only=True)
    model.load_state_dict(weights)
    scales = SCENARIOS[2].test_scales
    images, labels = dataset.to_torch("test", scales, shuffle=False).tensors
    with torch.no_grad():
        right = (model(images).argmax(dim=1) == labels).tolist()
    assert record.test_accuracy == sum(right) / len(right)
    correct = {entry.scale: entry.correct for entry in record.scales}
    assert [correct[scale] for scale in scales] == [
        sum(right[4 * row : 4 * row + 4]) for row in range(len(scales))
    ]
    assert sorted(correct) == list(range(17, 65))


def test_a_record_says_what_computed_it_and_what_a_resumption_computed_with(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    run_trial(spec, dataset, storage, HERE, stop_asked=stop_after(6))
    monkeypatch.setenv("SICONVNET_BACKEND", "torch")
    run_trial(spec, dataset, storage, HERE, stop_asked=stop_after(6))
    monkeypatch.delenv("SICONVNET_BACKEND")
    record = finished(run_trial(spec, dataset, storage, HERE))
    assert record.provenance.backend == backend()
    assert [entry.backend for entry in record.resumptions] == ["torch", backend()]


def test_another_seed_gives_another_result(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage, whole: TrialRecord
):
    other = replace(spec, point=replace(spec.point, seed=2))
    assert numbers(finished(run_trial(other, dataset, storage, HERE))) != numbers(whole)


@pytest.mark.parametrize("batches", [1, 4, 5, 12, 33, 40])
def test_a_trial_stopped_between_any_two_batches_goes_on_with_the_samenumbers(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage, whole: TrialRecord, batches: int
):
    # 4 training and 4 validation batches an epoch, 4 epochs, then 12 test batches
    outcome = run_trial(spec, dataset, storage, HERE, stop_asked=stop_after(batches))
    assert outcome.status == "paused"
    assert keys(storage) == [checkpoint_key(spec.point_id)]
    record = finished(run_trial(spec, dataset, storage, replace(HERE, driver="another")))
    assert numbers(record) == numbers(whole)
    (resumption,) = record.resumptions
    trained = min(batches, 32)
    assert (resumption.epoch, resumption.batch) == (1 + trained // 8, trained % 8)
    assert [epoch.finished_at < resumption.at for epoch in record.epochs] == [
        number < resumption.epoch for number in range(1, 5)
    ]


def test_seconds_of_epochs_and_trial_add_up_over_resumptions(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    for _ in range(3):
        run_trial(spec, dataset, storage, HERE, stop_asked=stop_after(7))
    record = finished(run_trial(spec, dataset, storage, HERE))
    assert [entry.epoch for entry in record.resumptions] == [1, 2, 3]
    assert 0 < sum(epoch.seconds for epoch in record.epochs) < record.wall_seconds


def test_weights_removed_before_the_record_was_written_are_written_again(
    spec: TrialSpec,
    dataset: STIRDataset,
    storage: Storage,
    whole: TrialRecord,
    monkeypatch: pytest.MonkeyPatch,
):
    """By a `clean` that took them for nobody's while the process stood still."""
    write = Storage.write

    def write_late(storage: Storage, key: str, data: bytes) -> None:
        if key == record_key(spec.point_id):
            storage.delete(whole.weights_key)
        write(storage, key, data)

    monkeypatch.setattr(Storage, "write", write_late)
    record = finished(run_trial(spec, dataset, storage, HERE))
    assert storage.exists(record.weights_key)


def test_a_finished_trial_is_found_and_not_run_again(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    record = finished(run_trial(spec, dataset, storage, HERE))
    again = run_trial(spec, dataset, storage, HERE, stop_asked=lambda: pytest.fail("it trains"))
    assert again == Outcome(status=TrialState.FOUND, record=record)


def test_checkpoints_are_written_as_often_as_asked(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    seen = set()

    def look() -> bool:
        checkpoint = read_checkpoint(storage, spec.point_id)
        seen.add(checkpoint and checkpoint.position)
        return False

    often = replace(HERE, checkpoint_seconds=1e-9)
    finished(run_trial(spec, dataset, storage, often, stop_asked=look))
    assert {(1, 1), (1, 2), (2, 5), (4, 7), (5, 0)} <= seen


def test_a_diverging_trial_leaves_its_reason_and_no_record(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    wild = replace(spec, point=replace(spec.point, lr=1e30))
    outcome = run_trial(wild, dataset, storage, HERE)
    assert outcome.status == "failed"
    assert outcome.error.startswith("DivergedError: A loss must be a finite number; in epoch 1")
    assert keys(storage) == [f"failures/{wild.point_id}/1.json"]
    failure = FailureRecord.from_json(storage.read(f"failures/{wild.point_id}/1.json"))
    assert (failure.attempt, failure.error, failure.epochs) == (1, outcome.error, ())
    assert "fit.py" in failure.traceback
    assert run_trial(wild, dataset, storage, HERE).status == "failed"
    assert len(list(storage.list("failures"))) == 2


def raising(error: Exception, *, batch: int = 5):
    """What a GPU raises; ``stop_asked`` is called between any two batches."""
    calls = count(1)

    def look() -> bool:
        if next(calls) >= batch:
            raise error
        return False

    return look


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_others_took_is_no_failure_and_the_trial_goes_on_alone(
    spec: TrialSpec,
    dataset: STIRDataset,
    storage: Storage,
    whole: TrialRecord,
    error: Exception,
):
    surroundings = replace(HERE, shares_gpu=True, checkpoint_seconds=1e-9)
    outcome = run_trial(spec, dataset, storage, surroundings, stop_asked=raising(error))
    assert (outcome.status, outcome.error) == ("crowded", f"{type(error).__name__}: {error}")
    assert {item.key.partition("/")[0] for item in storage.list("")} == {"checkpoints"}
    record = finished(run_trial(spec, dataset, storage, HERE))
    assert numbers(record) == numbers(whole)
    assert len(record.resumptions) == 1


def test_a_trial_too_big_for_a_gpu_of_its_own_fails(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    full = raising(torch.OutOfMemoryError("CUDA out of memory."))
    outcome = run_trial(spec, dataset, storage, HERE, stop_asked=full)
    assert outcome.status == "failed"
    assert storage.exists(f"failures/{spec.point_id}/1.json")


def test_a_gpu_that_answers_no_more_costs_the_process_and_not_the_point(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    lost = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    for _ in range(claims.DEATHS_ALLOWED):
        with pytest.raises(DeviceLostError, match="A GPU must go on answering; it says: Accel"):
            run_trial(spec, dataset, storage, HERE, stop_asked=raising(lost))
    assert not storage.exists(f"failures/{spec.point_id}/1.json")
    outcome = run_trial(spec, dataset, storage, HERE)
    assert outcome.error.startswith("RuntimeError: A trial may lose its process 5 times in a row")


def test_a_storage_that_fails_is_no_failure_of_the_point(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    def lose_storage() -> bool:
        raise StorageError("the line is dead")

    with pytest.raises(StorageError, match="the line is dead"):
        run_trial(spec, dataset, storage, HERE, stop_asked=lose_storage)
    assert list(storage.list("failures")) == []


def test_a_fresh_claim_of_another_driver_is_left_alone(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    theirs = replace(claims.new_claim("theirs", (1, 0), None), host="elsewhere")
    write_claim(storage, spec.point_id, theirs)
    assert run_trial(spec, dataset, storage, HERE).status == "elsewhere"
    assert keys(storage) == [claim_key(spec.point_id)]


def test_of_two_drivers_that_begin_at_once_the_last_to_claim_trains(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    theirs = replace(claims.new_claim("theirs", (1, 0), None), host="elsewhere")

    def overwritten(storage: Storage, point_id: str, claim: claims.Claim) -> claims.Claim:
        ours = write_claim(storage, point_id, claim)
        write_claim(storage, point_id, theirs)
        return ours

    monkeypatch.setattr("tune_jobs.trial.trial.write_claim", overwritten)
    assert run_trial(spec, dataset, storage, HERE).status == "elsewhere"
    assert keys(storage) == [claim_key(spec.point_id)]


def test_a_trial_that_lost_its_claim_to_a_live_driver_leaves_the_point_at_the_next_heartbeat(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    theirs = replace(claims.new_claim("theirs", (1, 0), None), host="elsewhere")
    calls = count(1)

    def lose_claim() -> bool:
        if next(calls) == 5:
            write_claim(storage, spec.point_id, theirs)
        return False

    monkeypatch.setattr("tune_jobs.trial.session.HEARTBEAT_SECONDS", 0)
    outcome = run_trial(spec, dataset, storage, HERE, stop_asked=lose_claim)
    assert outcome.status == "elsewhere"
    assert next(calls) == 6
    holder = read_claim(storage, spec.point_id)
    assert holder is not None
    assert holder.driver == "theirs"


@pytest.mark.parametrize(("stops", "status"), [(True, "paused"), (False, "finished")])
def test_a_trial_that_ends_leaves_the_claim_of_whoever_took_over_since_its_last_heartbeat(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage, stops: bool, status: str
):
    theirs = replace(claims.new_claim("theirs", (1, 0), None), host="elsewhere")
    calls = count(1)

    def lose_claim() -> bool:
        if next(calls) == 5:
            write_claim(storage, spec.point_id, theirs)
            return stops
        return False

    assert run_trial(spec, dataset, storage, HERE, stop_asked=lose_claim).status == status
    holder = read_claim(storage, spec.point_id)
    assert holder is not None
    assert holder.token == theirs.token


def test_a_claim_goes_stale_after_three_minutes_without_a_heartbeat(storage: Storage):
    theirs = replace(claims.new_claim("theirs", (1, 0), None), host="elsewhere")
    assert replace(theirs, heartbeat=time.time() - 170).is_fresh
    assert not replace(theirs, heartbeat=time.time() - 190).is_fresh


def test_the_claim_of_a_process_that_died_on_this_machine_is_stale_at_once(storage: Storage):
    code = (
        "from tune_jobs.storage import claim; from tune_jobs.storage import Storage;"
        f"claim.write_claim(Storage({storage.uri!r}), 'p', claim.new_claim('d', (1, 0), None));"
        "input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        wait_for(lambda: read_claim(storage, "p"), process)
        claim = read_claim(storage, "p")
        assert claim is not None
        assert claim.is_fresh
        process.kill()
    assert not claim.is_fresh


def test_a_process_lost_five_times_without_progress_fails_the_trial(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    gone = replace(claims.new_claim("this", (1, 0), None), deaths=3, pid_started="long ago")
    write_claim(storage, spec.point_id, gone)
    stopped = run_trial(spec, dataset, storage, HERE, stop_asked=stop_after(2))
    assert stopped.status == "paused"  # four deaths are borne; this stop left a checkpoint
    storage.delete(checkpoint_key(spec.point_id))
    write_claim(storage, spec.point_id, replace(gone, deaths=4))
    outcome = run_trial(spec, dataset, storage, HERE)
    assert outcome.status == "failed"
    assert "may lose its process 5 times" in outcome.error


def test_deaths_are_forgiven_once_a_checkpoint_got_further(storage: Storage):
    before = replace(claims.new_claim("this", (1, 0), None), deaths=4)
    assert claims.new_claim("this", (1, 0), before).deaths == 5
    assert claims.new_claim("this", (1, 7), before).deaths == 1
    assert claims.new_claim("this", (1, 0), None).deaths == 0


def test_processes_that_died_with_their_driver_are_not_counted_against_the_point():
    before = replace(claims.new_claim("this", (1, 0), None), deaths=4)
    assert claims.new_claim("another", (1, 0), before).deaths == 0


def test_a_damaged_checkpoint_costs_time_but_not_the_trial(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage, whole: TrialRecord
):
    storage.write(checkpoint_key(spec.point_id), b"not a checkpoint")
    record = finished(run_trial(spec, dataset, storage, HERE))
    assert numbers(record) == numbers(whole)
    assert record.resumptions == ()


def test_without_a_process_table_only_the_heartbeat_tells_whether_a_claim_is_fresh(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(claims, "_boot_id", lambda: "")
    monkeypatch.setattr(claims, "_process_started", lambda pid: "")
    claim = claims.new_claim("theirs", (1, 0), None)
    assert claim.is_fresh
    assert not replace(claim, heartbeat=time.time() - 190).is_fresh


def test_a_record_never_holds_a_path_or_a_secret_of_the_machine(
    spec: TrialSpec, dataset: STIRDataset, storage: Storage
):
    finished(run_trial(spec, dataset, storage, HERE))
    text = json.dumps(json.loads(storage.read(record_key(spec.point_id))))
    assert str(Path.home()) not in text
    assert storage.uri not in text


@pytest.mark.parametrize("driver", ["this", "theirs"])
@pytest.mark.parametrize("minutes_ahead", [-60, 0, 60])
def test_of_two_processes_at_one_point_the_one_overtaken_leaves_whatever_the_clocks_say(
    spec: TrialSpec,
    dataset: STIRDataset,
    storage: Storage,
    whole: TrialRecord,
    monkeypatch: pytest.MonkeyPatch,
    driver: str,
    minutes_ahead: int,
):
    """The second process starts between two batches of the first, and trains to the end."""
    monkeypatch.setattr("tune_jobs.trial.session.HEARTBEAT_SECONDS", 0)
    calls = count(1)

    def overtake() -> bool:
        if next(calls) == 3:
            storage.delete(claim_key(spec.point_id))  # as if it had gone stale
            other = replace(HERE, driver=driver)
            finished(run_trial(spec, dataset, storage, other))
            theirs = claims.new_claim(driver, (1, 0), None)
            content = replace(theirs, heartbeat=time.time() + 60 * minutes_ahead)
            monkeypatch.setattr(claims.clock, "now", lambda: content.heartbeat)
            write_claim(storage, spec.point_id, content)
        return False

    assert run_trial(spec, dataset, storage, HERE, stop_asked=overtake).status == "elsewhere"
    assert next(calls) == 4
    stored = TrialRecord.from_json(storage.read(record_key(spec.point_id)))
    assert numbers(stored) == numbers(whole)
