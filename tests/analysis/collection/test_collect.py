import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import load
from analysis.collection.collect import collect
from analysis.tables import parquet, schemas
from tune_jobs.storage import Storage


def test_each_record_becomes_one_trial_its_epochs_and_48_scales(tmp_path, make_record, put):
    put(tmp_path / "runs", make_record(seed=1, num_epochs=3), make_record(seed=2, num_epochs=5))
    found = collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert (found.new, found.finished, found.failed, found.damaged) == (2, 2, 0, [])
    sizes = {name: len(load(name, str(tmp_path / "results"))) for name in schemas.SCHEMAS}
    assert sizes == {
        "trials": 2,
        "epochs": 8,
        "scale_accuracy": 96,
        "study_points": 0,
        "cells": 0,
        "searches": 0,
        "evaluations": 0,
        "equivariance": 0,
        "pool_scales": 0,
        "pool_correlations": 0,
        "index_maps": 0,
    }


def test_a_trial_row_holds_what_its_record_says(tmp_path, make_record, put):
    record = make_record(correct=9, num_epochs=3, lr=1e-2)
    put(tmp_path / "runs", record)
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    trial = load("trials", str(tmp_path / "results")).iloc[0]
    assert trial.point_id == record.point_id
    assert (trial.source, trial.status, trial.lr, trial.max_epochs) == (
        "ours",
        "finished",
        0.01,
        200,
    )
    assert trial.test_accuracy == 0.25
    assert trial.epoch_seconds == pytest.approx(2.5)
    assert trial.last_train_seconds == 1.5
    assert str(trial.finished_at) == "2026-11-22 10:05:00+00:00"


def test_a_run_below_twice_chance_counts_as_collapsed(tmp_path, make_record, put):
    just_below, just_above = 2 / 36 - 1e-6, 2 / 36 + 1e-6
    put(
        tmp_path / "runs",
        make_record(seed=1, valid_accuracy=just_below),
        make_record(seed=2, valid_accuracy=just_above),
    )
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    trials = load("trials", str(tmp_path / "results")).set_index("seed")
    assert trials["collapsed"].to_dict() == {1: True, 2: False}


def test_a_second_collection_reads_only_what_is_new(tmp_path, make_record, put, monkeypatch):
    runs, results = tmp_path / "runs", str(tmp_path / "results")
    put(runs, make_record(seed=1))
    collect([str(runs)], results)
    put(runs, make_record(seed=2))
    read: list[str] = []
    real = Storage.read
    monkeypatch.setattr(Storage, "read", lambda self, key: read.append(key) or real(self, key))
    found = collect([str(runs)], results)
    assert [key for key in read if key.startswith("records/")] == [
        f"records/{make_record(seed=2).point_id}.json"
    ]
    assert (found.new, found.finished) == (1, 2)


def test_collecting_again_or_bit_by_bit_gives_the_same_files(tmp_path, make_record, put):
    for seed in (1, 2, 3):
        put(tmp_path / "runs", make_record(seed=seed))
        collect([str(tmp_path / "runs")], str(tmp_path / "slowly"))
    collect([str(tmp_path / "runs")], str(tmp_path / "at_once"))
    for name in set(schemas.SCHEMAS) - set(schemas.PARTED):
        slowly, at_once = (tmp_path / way / f"{name}.parquet" for way in ("slowly", "at_once"))
        assert slowly.read_bytes() == at_once.read_bytes()


def test_a_point_in_two_storages_is_taken_once(tmp_path, make_record, put):
    put(tmp_path / "one", make_record(seed=1))
    put(tmp_path / "two", make_record(seed=1), make_record(seed=2))
    found = collect([str(tmp_path / "one"), str(tmp_path / "two")], str(tmp_path / "results"))
    assert (found.new, found.repeated) == (2, 1)
    assert len(load("trials", str(tmp_path / "results"))) == 2


def test_a_failed_point_keeps_the_reason_of_its_last_attempt(tmp_path, make_failure, put):
    put(
        tmp_path / "runs",
        *(make_failure(attempt=n, error=f"Attempt {n} broke.") for n in (2, 10, 9)),
    )
    found = collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    trials = load("trials", str(tmp_path / "results"))
    assert (found.failed, list(trials["status"])) == (1, ["failed"])
    assert list(trials["error"]) == ["Attempt 10 broke."]


def test_a_failure_gives_way_to_the_result_of_a_later_attempt(
    tmp_path, make_failure, make_record, put
):
    runs, results = tmp_path / "runs", str(tmp_path / "results")
    put(runs, make_failure(seed=1))
    assert collect([str(runs)], results).failed == 1
    put(runs, make_record(seed=1))
    found = collect([str(runs)], results)
    assert (found.new, found.finished, found.failed) == (1, 1, 0)
    assert list(load("trials", results)["error"].isna()) == [True]


def damage_text(data: dict) -> bytes:
    return json.dumps(data).encode()[:-20]


DAMAGES = {
    "cut short": (damage_text, "must end as it was written"),
    "an accuracy that is not its epoch's": (
        lambda d: d | {"best_valid_accuracy": 7.0},
        "must be that of the best epoch",
    ),
    "a test accuracy that its counts deny": (
        lambda d: d | {"test_accuracy": 0.3},
        "must be that of the test scales",
    ),
    "more correct than images": (
        lambda d: d | {"scales": [d["scales"][0] | {"correct": 37}, *d["scales"][1:]]},
        "correct <= total",
    ),
    "a test scale too few": (lambda d: d | {"scales": d["scales"][1:]}, r"missing: [17]"),
    "an epoch too many": (lambda d: d | {"epochs": d["epochs"] * 2}, "numbered 1, 2, 3"),
    "a time without a zone": (lambda d: d | {"started_at": "2026-11-22"}, "with its zone"),
    "another point's id": (lambda d: d | {"point_id": "0" * 12}, "must be that of its contents"),
    "a number beyond 64 bits": (lambda d: d | {"num_parameters": 2**70}, "must fit the tables"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_record_is_named_and_the_rest_collected(kind, tmp_path, make_record, put):
    change, reason = DAMAGES[kind]
    good, bad = make_record(seed=1), make_record(seed=2)
    put(tmp_path / "runs", good, bad)
    changed = change(json.loads(bad.to_json()))
    path = tmp_path / "runs" / "records" / f"{bad.point_id}.json"
    path.write_bytes(changed if isinstance(changed, bytes) else json.dumps(changed).encode())
    found = collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert found.finished == 1
    assert len(found.damaged) == 1
    assert str(path) in found.damaged[0]
    assert reason in found.damaged[0]


def test_a_record_under_another_points_name_is_named(tmp_path, make_record, put):
    record = make_record(seed=1)
    Storage(tmp_path / "runs").write(f"records/{'0' * 12}.json", record.to_json())
    found = collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert "must lie under its own key" in found.damaged[0]


def test_an_empty_storage_gives_empty_tables(tmp_path):
    (tmp_path / "runs").mkdir()
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert len(load("trials", str(tmp_path / "results"))) == 0


def test_a_collection_cut_off_between_tables_is_made_good_by_the_next(
    tmp_path, make_record, put, monkeypatch
):
    put(tmp_path / "runs", make_record(seed=1))
    real = parquet.extend

    def broken(name, *rest, **options):
        if name == "trials":
            raise OSError("disk full")
        return real(name, *rest, **options)

    monkeypatch.setattr(parquet, "extend", broken)
    with pytest.raises(OSError, match="disk full"):
        collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    monkeypatch.setattr(parquet, "extend", real)
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert len(load("epochs", str(tmp_path / "results"))) == 3


def test_interpolation_stays_null_where_a_model_has_none(tmp_path, make_record, put):
    put(tmp_path / "runs", make_record(), make_record(model="pixel_pool", interpolation="area"))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    trials = load("trials", str(tmp_path / "results")).set_index("model")
    assert trials["interpolation"].fillna("none").to_dict() == {
        "standard": "none",
        "pixel_pool": "area",
    }


def test_resumptions_are_counted(tmp_path, make_record, put):
    from tune_jobs.records.trial import Resumption

    twice = (Resumption(at="2026-11-22T10:01:00+00:00", epoch=2, batch=0, host="lab"),) * 2
    put(tmp_path / "runs", replace(make_record(), resumptions=twice))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert list(load("trials", str(tmp_path / "results"))["resumed"]) == [2]


def test_of_500_damaged_records_each_is_named_and_the_good_ones_collected(
    tmp_path, make_record, put
):
    rng = random.Random(1)
    folder = tmp_path / "runs" / "records"
    put(tmp_path / "runs", *(make_record(seed=seed, num_epochs=1) for seed in range(10)))
    intact: dict[str, bytes] = {}
    for seed in range(1000, 1500):
        record = make_record(seed=seed, num_epochs=1)
        data = bytearray(record.to_json())
        place = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data = data[:place]
            case 1:
                data[place] = rng.randrange(256)
            case 2:
                data[place : place + rng.randrange(1, 40)] = b""
            case _:
                data = bytearray(rng.randbytes(rng.randrange(60)))
        (folder / f"{record.point_id}.json").write_bytes(bytes(data))
        intact[record.point_id] = record.to_json()
    found = collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert found.finished + len(found.damaged) == 510
    assert found.finished >= 10
    assert len(found.damaged) > 400
    named = {sentence.split(".json: ")[0].rpartition("/")[2] for sentence in found.damaged}
    trials = load("trials", str(tmp_path / "results"))
    assert named | set(trials["point_id"]) >= set(intact)
    assert named.isdisjoint(trials["point_id"])


def damage(folder: Path, *keys: str) -> None:
    for key in keys:
        (folder / key).write_bytes((folder / key).read_bytes()[:-20])


def test_of_a_damaged_record_an_intact_copy_in_the_next_storage_is_taken(
    tmp_path, make_record, put
):
    record = make_record()
    for name in ("one", "two"):
        put(tmp_path / name, record)
    damage(tmp_path / "one", f"records/{record.point_id}.json")
    found = collect([str(tmp_path / "one"), str(tmp_path / "two")], str(tmp_path / "results"))
    assert (found.finished, len(found.damaged)) == (1, 1)
    assert str(tmp_path / "one") in found.damaged[0]


def test_of_a_damaged_failure_the_attempt_before_is_taken(tmp_path, make_failure, put):
    first, second = (make_failure(attempt=n, error=f"Attempt {n} broke.") for n in (1, 2))
    put(tmp_path / "runs", first, second)
    damage(tmp_path / "runs", f"failures/{second.point_id}/2.json")
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert list(load("trials", str(tmp_path / "results"))["error"]) == ["Attempt 1 broke."]
