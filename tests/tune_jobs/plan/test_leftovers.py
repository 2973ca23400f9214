import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.faulty_proxy import FaultyProxy
from lab.records import put_record
from lab.s3_server import S3Server
from tune_jobs.cli import main
from tune_jobs.plan import leftovers
from tune_jobs.plan.inventory import survey
from tune_jobs.plan.leftovers import KEPT_SECONDS, find_leftovers, remove
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage, StoredObject
from tune_jobs.storage.claim import new_claim, write_claim

POINT = GridPoint(
    model="standard",
    dataset="emoji",
    scenario=2,
    kernel_size=7,
    interpolation=None,
    lr=0.001,
    seed=1,
)
SPEC = TrialSpec(point=POINT, recipe=Recipe(), model_version=1, dataset_fingerprint="ab")
ID = SPEC.point_id
WEIGHTS = b"of a trial that stood still before it wrote its record"
OTHER = replace(SPEC, point=replace(POINT, seed=2))


def keys(storage: Storage) -> set[str]:
    return {leftover.key for leftover in find_leftovers(storage).gone}


def claim_of_the_dead(storage: Storage) -> None:
    claim = new_claim("driver", (1, 0), None)
    write_claim(storage, ID, replace(claim, pid_started="long ago"))


def test_a_claim_can_go_once_nobody_is_at_it(storage: Storage):
    write_claim(storage, ID, new_claim("driver", (1, 0), None))
    assert keys(storage) == set()
    claim_of_the_dead(storage)
    assert keys(storage) == {f"claims/{ID}.json"}


def test_a_checkpoint_can_go_once_its_trial_is_finished(storage: Storage):
    storage.write(f"checkpoints/{ID}.pt", b"so far")
    assert keys(storage) == set()
    put_record(storage, SPEC, valid_accuracy=0.5)
    assert keys(storage) == {f"checkpoints/{ID}.pt"}


def test_a_record_that_contradicts_itself_is_damaged(storage: Storage):
    record = put_record(storage, SPEC, valid_accuracy=0.5)
    storage.write(f"records/{ID}.json", replace(record, test_accuracy=0.3).to_json())
    [leftover] = find_leftovers(storage).gone
    assert leftover.key == f"records/{ID}.json"
    assert "must be that of the test scales" in leftover.reason


def put_old_weights(storage: Storage, digest: str, content: bytes) -> None:
    """Weights that have been there for longer than a process stands still."""
    key = f"weights/{ID}-{digest}.pt"
    storage.write(key, content)
    when = time.time() - KEPT_SECONDS - 60
    os.utime(Path(storage.uri, key), (when, when))


def test_weights_can_go_unless_a_record_names_them_or_a_trial_is_running(storage: Storage):
    put_record(storage, OTHER, valid_accuracy=0.5)
    put_old_weights(storage, "111111111111", b"of a trial that died before its record")
    assert keys(storage) == {f"weights/{ID}-111111111111.pt"}
    write_claim(storage, ID, new_claim("driver", (1, 0), None))
    assert keys(storage) == set()
    storage.delete(f"claims/{ID}.json")
    record = put_record(storage, SPEC, valid_accuracy=0.5)
    storage.write(record.weights_key, b"good")
    assert keys(storage) == {f"weights/{ID}-111111111111.pt"}


def test_weights_without_a_record_stay_for_a_day(storage: Storage):
    """So that what is sent to remove them, however late it arrives, finds none that are needed."""
    put_record(storage, OTHER, valid_accuracy=0.5)
    put_record(storage, SPEC, valid_accuracy=0.5)
    storage.write(f"weights/{ID}-111111111111.pt", b"of a process that stands still")
    assert keys(storage) == set()
    put_old_weights(storage, "111111111111", b"of a process that has died")
    assert keys(storage) == {f"weights/{ID}-111111111111.pt"}


def test_a_claim_taken_over_after_it_was_listed_is_left_alone(storage: Storage):
    claim_of_the_dead(storage)
    (leftover,) = find_leftovers(storage).gone
    write_claim(storage, ID, new_claim("other driver", (1, 0), None))
    assert not remove(leftover, storage)
    assert storage.exists(leftover.key)


def test_nothing_is_found_in_a_storage_that_is_not_there(tmp_path: Path):
    assert find_leftovers(Storage(tmp_path / "none")).gone == ()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("key", ["failures", "datasets", "studies", "evaluations"])
def test_results_are_never_leftovers(key: str, storage: Storage):
    storage.write(f"{key}/{ID}.json", b"{}")
    put_record(storage, SPEC, valid_accuracy=0.5)
    assert keys(storage) == set()


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"{}", lambda data: b""])
def test_a_damaged_record_is_moved_aside_and_its_point_is_to_do_again(
    damage, storage: Storage, capsys: pytest.CaptureFixture[str]
):
    record = put_record(storage, SPEC, valid_accuracy=0.5)
    spoilt = damage(record.to_json())
    storage.write(f"records/{ID}.json", spoilt)
    for key in (f"checkpoints/{ID}.pt", f"weights/{ID}-1.pt", f"weights/{ID}-2.pt"):
        storage.write(key, b"left for the run that follows")
    assert main(["clean", "--storage", storage.uri, "--dry-run"]) == 0
    assert survey([SPEC], storage) == {ID: TrialState.FINISHED}
    assert main(["clean", "--storage", storage.uri]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "1 damaged record moved aside; a run trains its point again"
    assert survey([SPEC], storage) == {ID: TrialState.TO_DO}
    [aside] = storage.list("damaged")
    assert aside.key.startswith(f"damaged/records/{ID}-")
    assert storage.read(aside.key) == spoilt
    assert f"records/{ID}.json -> {aside.key}: it is damaged: " in out[-3]
    assert out[-2] == "0 objects, 0.0 MB, removed"


def test_what_is_said_of_a_damaged_record_acts_on_no_terminal(
    storage: Storage, capsys: pytest.CaptureFixture[str]
):
    content = put_record(storage, SPEC, valid_accuracy=0.5).to_json()
    storage.write(
        f"records/{ID}.json",
        content.replace(b'"weights_key"', b'"\\u001b[31m\\u202e": 1, "weights_key"'),
    )
    assert main(["clean", "--storage", storage.uri, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert r"\x1b[31m\u202e: " in out
    assert not {"\x1b", "\u202e"} & set(out)


def test_what_was_measured_of_a_damaged_record_s_weights_goes_before_it(storage: Storage):
    other = replace(SPEC, point=replace(POINT, seed=2)).point_id
    for point_id in (ID, other):
        for key in ("evaluations/{}.npz", "predictions/{}.npz", "index_maps/{}/0-0.npz"):
            storage.write(key.format(point_id), b"of the old weights")
    put_record(storage, SPEC, valid_accuracy=0.5)
    assert keys(storage) == set()
    storage.write(f"records/{ID}.json", b"{")
    found = find_leftovers(storage).gone
    assert [leftover.key for leftover in found] == [
        f"evaluations/{ID}.npz",
        f"predictions/{ID}.npz",
        f"index_maps/{ID}/0-0.npz",
        f"records/{ID}.json",
    ]
    assert all(remove(leftover, storage) for leftover in found)
    left = [item.key for folder in ("evaluations", "records") for item in storage.list(folder)]
    assert left == [f"evaluations/{other}.npz"]


def every_key(storage: Storage) -> set[str]:
    return {item.key for item in storage.list("")}


def put_running_and_finished(storage: Storage) -> str:
    """A finished point, and one whose trial has just stored its weights; the record's key."""
    record = put_record(storage, OTHER, valid_accuracy=0.5)
    storage.write(record.weights_key, b"good")
    storage.write(f"weights/{ID}-111111111111.pt", b"of a trial that stores its record next")
    if storage.is_local:
        for item in storage.list("weights"):
            os.utime(Path(storage.uri, item.key), (0, 0))
    write_claim(storage, ID, new_claim("driver", (1, 0), None))
    return f"records/{record.point_id}.json"


class Forgetful(Storage):
    """A storage one of whose listings lacks what it should name."""

    lacks = ""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return (item for item in super().list(prefix) if not item.key.startswith(self.lacks))


@pytest.mark.parametrize("lacking", [f"records/{OTHER.point_id}", "claims/", "checkpoints/"])
def test_what_a_listing_lacks_is_asked_for_before_anything_goes(lacking: str, storage: Storage):
    put_running_and_finished(storage)
    put_record(storage, replace(SPEC, point=replace(POINT, seed=3)), valid_accuracy=0.5)
    before = every_key(storage)
    forgetful = Forgetful(storage.uri)
    forgetful.lacks = lacking
    assert find_leftovers(forgetful).gone == ()
    assert every_key(storage) == before


def test_weights_that_are_needed_after_all_stay(storage: Storage):
    put_record(storage, OTHER, valid_accuracy=0.5)
    put_old_weights(storage, "000000000000", b"of a trial that stores its record next")
    [leftover] = find_leftovers(storage).gone
    put_record(storage, SPEC, valid_accuracy=0.5)
    assert not remove(leftover, storage)
    assert storage.exists(leftover.key)


def test_weights_whose_record_comes_while_they_are_removed_are_put_back(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    put_record(storage, OTHER, valid_accuracy=0.5)
    put_old_weights(storage, "5b150af90269", WEIGHTS)
    [leftover] = find_leftovers(storage).gone
    delete = Storage.delete

    def delete_as_a_trial_wakes(storage: Storage, key: str) -> None:
        delete(storage, key)
        record = put_record(storage, SPEC, valid_accuracy=0.5)
        record = replace(record, weights_key=leftover.key)
        storage.write(f"records/{ID}.json", record.to_json())

    monkeypatch.setattr(Storage, "delete", delete_as_a_trial_wakes)
    assert not remove(leftover, storage)
    assert storage.read(leftover.key) == WEIGHTS


def test_a_record_that_was_only_read_badly_stays_with_what_was_measured(storage: Storage):
    key = put_running_and_finished(storage)
    storage.write(f"evaluations/{OTHER.point_id}.npz", b"of its weights")
    good = storage.read(key)
    storage.write(key, good[:-2])
    found = find_leftovers(storage).gone
    assert [leftover.key.partition("/")[0] for leftover in found] == ["evaluations", "records"]
    storage.write(key, good)
    before = every_key(storage)
    assert not any(remove(leftover, storage) for leftover in found)
    assert every_key(storage) == before


@pytest.mark.usefixtures("s3_keys")
@pytest.mark.parametrize("folder", ["records", "claims", "weights", ""])
def test_a_listing_answered_with_a_login_page_removes_nothing(
    folder: str,
    s3_server: S3Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(leftovers, "KEPT_SECONDS", -60.0)  # so that their age protects none
    with FaultyProxy(s3_server.endpoint) as line:
        where = f"s3://{S3Server.bucket}/{tmp_path.name}"
        storage = Storage(f"{where}?endpoint_override={line.endpoint}&scheme=http")
        put_running_and_finished(storage)
        before = every_key(storage)
        line.choose = lambda method, path: (
            "page" if "list-type" in path and f"{tmp_path.name}%2F{folder}" in path else None
        )
        status = main(["clean", "--storage", storage.uri])
        assert "page" in line.faults
        line.choose = lambda method, path: None
        assert every_key(storage) == before
    out = capsys.readouterr()
    if folder == "records":
        assert status == 2
        assert out.err.startswith("tune-jobs: A storage with weights must have records to clean by")
    else:
        assert (status, out.out) == (0, "0 objects, 0.0 MB, removed\n")


@pytest.mark.parametrize("mode", [[], ["--dry-run"]])
def test_weights_without_a_single_record_are_not_cleaned(
    mode: list[str], storage: Storage, capsys: pytest.CaptureFixture[str]
):
    storage.write(f"weights/{ID}-111111111111.pt", b"of a trial that died before its record")
    claim_of_the_dead(storage)
    before = every_key(storage)
    assert main(["clean", "--storage", storage.uri, *mode]) == 2
    assert "lists 1 weights and not one record" in capsys.readouterr().err
    assert every_key(storage) == before


def test_a_record_under_another_points_name_is_damaged(storage: Storage):
    record = put_record(storage, SPEC, valid_accuracy=0.5)
    storage.write(f"records/{'0' * 12}.json", record.to_json())
    assert keys(storage) == {f"records/{'0' * 12}.json"}


def test_a_record_of_a_later_version_is_left_alone(storage: Storage):
    record = put_record(storage, SPEC, valid_accuracy=0.5)
    later = record.to_json().replace(b"stir-record/1", b"stir-record/2")
    storage.write(f"records/{ID}.json", later)
    assert keys(storage) == set()
