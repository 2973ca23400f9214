import json
from dataclasses import replace

import pytest

from lab.records import put_failure, put_record
from tune_jobs.errors import TuneJobsError
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.keys import claim_key, failure_key, record_key
from tune_jobs.records.schema import RecordError
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import new_claim, read_claim, write_claim
from tune_jobs.storage.reader import (
    last_failure,
    parse_record,
    read_record,
    read_records,
    stored_record,
)
from tune_jobs.storage.rentals import read_rentals, write_rentals

POINT = GridPoint(
    model="standard",
    dataset="bars",
    scenario=2,
    kernel_size=3,
    interpolation=None,
    lr=0.001,
    seed=1,
)
SPEC = TrialSpec(point=POINT, recipe=Recipe(), model_version=1, dataset_fingerprint="feed")
OTHER = replace(SPEC, point=replace(POINT, seed=2))


def test_the_record_of_another_point_is_not_taken_for_a_points_own(storage: Storage):
    other = put_record(storage, OTHER, valid_accuracy=0.5)
    storage.write(record_key(SPEC.point_id), other.to_json())
    for read in (read_record, stored_record):
        with pytest.raises(RecordError, match=f"^{record_key(SPEC.point_id)}: .*its own key"):
            read(storage, SPEC.point_id)


def test_the_failure_of_another_attempt_is_not_taken_for_the_last_one(storage: Storage):
    put_failure(storage, SPEC, "OSError: full")
    storage.write(failure_key(SPEC.point_id, 2), storage.read(failure_key(SPEC.point_id, 1)))
    with pytest.raises(RecordError, match=f"^{failure_key(SPEC.point_id, 2)}: .*its own key"):
        last_failure(storage, SPEC.point_id)


def test_the_last_of_twelve_attempts_is_found_by_its_number(storage: Storage):
    for number in range(1, 13):
        put_failure(storage, SPEC, f"OSError: attempt {number}")
    assert last_failure(storage, SPEC.point_id).error == "OSError: attempt 12"


def test_damaged_records_are_named_and_the_others_read(storage: Storage):
    good = put_record(storage, SPEC, valid_accuracy=0.5)
    storage.write(record_key(OTHER.point_id), b"{")
    damaged: list[str] = []
    ids = [SPEC.point_id, OTHER.point_id, "0" * 12]
    assert read_records(storage, ids, damaged) == {SPEC.point_id: good}
    [sentence] = damaged
    assert sentence.startswith(f"{record_key(OTHER.point_id)}: A record must be JSON")
    with pytest.raises(RecordError, match=record_key(OTHER.point_id)):
        read_records(storage, ids)


def test_a_failure_says_whether_its_loss_diverged_and_older_ones_by_their_error(storage: Storage):
    put_failure(storage, SPEC, "DivergedError: A loss must be a finite number")
    old = last_failure(storage, SPEC.point_id)
    assert (old.diverged, old.has_diverged) == (None, True)
    assert replace(old, diverged=False).has_diverged is False
    assert replace(old, error="OSError: full").has_diverged is False
    assert replace(old, error="OSError: full", diverged=True).has_diverged is True


def test_a_record_nested_to_any_depth_is_refused_in_a_sentence():
    """Also to one at which JSON can still be read, but not be written again."""
    for depth in range(700, 1100):
        content = b'{"more": 1, "schema": "stir-record/1", "point": %b%b}'
        with pytest.raises(RecordError, match="A record must"):
            parse_record("records/x", content % (b"[" * depth, b"]" * depth))


def test_a_damaged_account_is_named_and_one_of_another_study_is_not_taken(storage: Storage):
    write_rentals(storage, "one", "a" * 12, {})
    key = f"costs/one/{'a' * 12}.json"
    storage.write(f"costs/two/{'a' * 12}.json", storage.read(key))
    with pytest.raises(RecordError, match=r"^costs/two/a+\.json: .*its own key"):
        read_rentals(storage, "two")
    storage.write(key, b"{}")
    with pytest.raises(RecordError, match=f"^{key}: A record must be"):
        read_rentals(storage, "one")


@pytest.mark.parametrize(
    "change",
    [
        {"heartbeat": None},
        {"heartbeat": "now"},
        {"heartbeat": float("inf")},
        {"position": [1]},
        {"position": 3},
        {"pid": "1"},
        {"deaths": None},
        {"more": 1},
    ],
)
def test_a_claim_that_cannot_be_understood_is_none(storage: Storage, change: dict[str, object]):
    write_claim(storage, SPEC.point_id, new_claim("driver", (1, 0), None))
    content = json.loads(storage.read(claim_key(SPEC.point_id)))
    assert read_claim(storage, SPEC.point_id) is not None
    storage.write(claim_key(SPEC.point_id), json.dumps(content | change).encode())
    assert read_claim(storage, SPEC.point_id) is None
    storage.write(claim_key(SPEC.point_id), b"[" * 100_000)
    assert read_claim(storage, SPEC.point_id) is None


@pytest.mark.parametrize(
    "key", ["../x.json", "records/../../x", "/etc/passwd", "records//x", "studies/./x.json"]
)
def test_no_key_leads_out_of_a_storage(storage: Storage, key: str):
    for use in (storage.read, storage.exists, storage.delete, lambda key: list(storage.list(key))):
        with pytest.raises(TuneJobsError, match="no place but the storage"):
            use(key)
    with pytest.raises(TuneJobsError, match="no place but the storage"):
        storage.write(key, b"")
