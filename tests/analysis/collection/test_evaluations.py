import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from analysis import AnalysisError, load
from analysis.collection.collect import collect
from analysis.results.query import query
from analysis.tables import parts
from analysis.tables.schemas import SCHEMAS
from tune_jobs.records.evaluation import ObjectIndex
from tune_jobs.records.keys import weights_key
from tune_jobs.storage import Storage


@pytest.fixture
def collected(tmp_path, put):
    """Store things and collect them; what was found, and the results folder."""

    def collected(*things):
        put(tmp_path / "runs", *things)
        results = str(tmp_path / "results")
        return collect([str(tmp_path / "runs")], results), results

    return collected


def test_each_error_and_each_mean_size_becomes_a_row(collected, make_record, make_evaluation):
    record = make_record()
    evaluation = make_evaluation(record)
    errors = np.random.default_rng(1).random((2, 3, 2, 6))
    sizes = tuple(np.random.default_rng(n).random((n, 3, 2, 48)).astype(np.float32) for n in (2, 3))
    found, results = collected(record, replace(evaluation, equivariance=errors, pool_scales=sizes))
    assert (found.evaluations, found.damaged) == (1, [])
    rows = load("equivariance", results)
    assert len(rows) == 2 * 3 * 2 * 6
    one = rows.query("stage == 2 and class_index == 1 and instance == 0 and scale == 33")
    assert one["other_scale"].tolist() == [48]
    assert one["error"].tolist() == [np.float32(errors[1, 1, 0, 3])]
    means = load("pool_scales", results)
    assert len(means) == (2 + 3) * 3 * 2 * 48
    one = means.query("stage == 2 and channel == 2 and class_index == 2 and instance == 1")
    np.testing.assert_array_equal(one.sort_values("scale")["mean_kernel_size"], sizes[1][2, 2, 1])
    assert set(means["point_id"]) == {record.point_id}


def test_of_a_damaged_evaluation_an_intact_copy_is_taken(
    tmp_path, put, make_record, make_evaluation
):
    record = make_record()
    for name in ("one", "two"):
        put(tmp_path / name, record, make_evaluation(record))
    (tmp_path / "one" / "evaluations" / f"{record.point_id}.npz").write_bytes(b"PK")
    found = collect([str(tmp_path / "one"), str(tmp_path / "two")], str(tmp_path / "results"))
    assert (found.evaluations, len(found.damaged)) == (1, 1)


def test_undefined_values_are_null_and_counted(collected, make_record, make_evaluation):
    record = make_record()
    evaluation = make_evaluation(record)
    evaluation.equivariance[1, 0, :, 4] = np.nan
    evaluation.pool_scales[0][0, 0, 0, :5] = np.nan
    _, results = collected(record, evaluation)
    counts = load("evaluations", results).set_index("measure")["undefined"].to_dict()
    assert counts == {"equivariance": 2, "pool_scales": 5, "pool_correlations": 0}
    [row] = query(
        "select count(*) - count(error) as undefined, avg(error) as mean from equivariance",
        results,
    ).to_pylist()
    assert row == {"undefined": 2, "mean": 0.5}


def test_a_model_that_nothing_applies_to_is_collected_once(collected, make_record, make_evaluation):
    record = make_record(model="ensemble")
    evaluation = make_evaluation(record, stages=0, channels=())
    assert collected(record, evaluation)[0].evaluations == 1
    found, results = collected()
    assert found.evaluations == 0
    assert load("evaluations", results)["rows"].tolist() == [0, 0, 0]
    assert load("equivariance", results).empty


def test_a_second_collection_reads_only_new_evaluations(
    collected, make_record, make_evaluation, monkeypatch
):
    first, second = make_record(seed=1), make_record(seed=2)
    collected(first, make_evaluation(first))
    read: list[str] = []
    real = Storage.read
    monkeypatch.setattr(Storage, "read", lambda self, key: read.append(key) or real(self, key))
    found, results = collected(second, make_evaluation(second, error=0.25))
    assert [key for key in read if key.startswith("evaluations/")] == [
        f"evaluations/{second.point_id}.npz"
    ]
    assert found.evaluations == 1
    means = load("equivariance", results).groupby("point_id", observed=True)["error"].mean()
    assert means.to_dict() == {first.point_id: 0.5, second.point_id: 0.25}


def test_a_collection_cut_off_before_the_list_of_parts_doubles_nothing(
    collected, make_record, make_evaluation, monkeypatch
):
    record, later = make_record(seed=1), make_record(seed=2)
    real = Storage.write

    def broken(self, key, data):
        if key == "evaluations.parquet":
            raise OSError("disk full")
        real(self, key, data)

    monkeypatch.setattr(Storage, "write", broken)
    with pytest.raises(OSError, match="disk full"):
        collected(record, make_evaluation(record))
    monkeypatch.setattr(Storage, "write", real)
    _, results = collected(later, make_evaluation(later))
    assert len(load("equivariance", results)) == 2 * (2 * 3 * 2 * 6)


def test_index_maps_are_a_row_a_map_and_may_come_later(
    collected, make_record, make_evaluation, make_maps
):
    record = make_record(model="pixel_pool")
    collected(record, make_evaluation(record), make_maps(record))
    found, results = collected(make_maps(record, place=ObjectIndex(2, 1)))
    assert found.evaluations == 1
    rows = load("index_maps", results)
    assert len(rows) == 2 * (2 * 2 * 2)
    one = rows.query("class_index == 2 and stage == 1 and channel == 1 and scale == 64")
    assert (one["height"].item(), one["kernel_size"].item().tolist()) == (3, [9] * 9)


def test_an_evaluation_in_two_storages_is_taken_once(tmp_path, put, make_record, make_evaluation):
    record = make_record()
    for name in ("one", "two"):
        put(tmp_path / name, record, make_evaluation(record))
    uris = [str(tmp_path / name) for name in ("one", "two")]
    assert collect(uris, str(tmp_path / "results")).evaluations == 1
    assert len(load("equivariance", str(tmp_path / "results"))) == 72


DAMAGES = {
    "another point": (lambda e: replace(e, point_id="0" * 12), "must be of its own point"),
    "a negative error": (
        lambda e: replace(e, equivariance=-e.equivariance),
        "at least 0; got -0.5",
    ),
    "a scale beyond 16 bits": (
        lambda e: replace(e, scales=e.scales + 10**6),
        "must fit the tables",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_an_evaluation_that_cannot_be_used_is_named(
    kind, collected, make_record, make_evaluation, tmp_path
):
    change, reason = DAMAGES[kind]
    good, bad = make_record(seed=1), make_record(seed=2)
    changed = change(make_evaluation(bad))
    key = f"evaluations/{bad.point_id}.npz"
    Storage(tmp_path / "runs").write(key, changed.to_npz())
    found, results = collected(good, bad, make_evaluation(good))
    assert (found.finished, found.evaluations) == (2, 1)
    [sentence] = found.damaged
    assert key in sentence
    assert reason in sentence
    assert set(load("equivariance", results)["point_id"]) == {good.point_id}


def test_of_500_damaged_evaluations_each_is_named_or_whole(
    collected, make_record, make_evaluation, tmp_path
):
    rng = random.Random(1)
    folder = tmp_path / "runs" / "evaluations"
    folder.mkdir(parents=True)
    names = {f"{number:012x}" for number in range(500)}
    for name in names:
        evaluation = make_evaluation(make_record(), channels=())
        whole = replace(evaluation, point_id=name, weights_key=weights_key(name, name)).to_npz()
        data, place = bytearray(whole), rng.randrange(len(whole))
        match rng.randrange(3):
            case 0:
                data = data[:place]
            case 1:
                data[place] = rng.randrange(256)
            case _:
                data[place : place + rng.randrange(1, 40)] = b""
        (folder / f"{name}.npz").write_bytes(bytes(data))
    found, results = collected()
    damaged = {sentence.split(".npz: ")[0].rpartition("/")[2] for sentence in found.damaged}
    kept = load("evaluations", results)
    assert len(damaged) > 400
    assert damaged | set(kept["point_id"]) == names
    assert damaged.isdisjoint(kept["point_id"])
    assert set(kept.loc[kept["measure"] == "equivariance", "rows"]) <= {72}


def test_a_lost_part_is_said(collected, make_record, make_evaluation):
    record = make_record()
    _, results = collected(record, make_evaluation(record))
    [part] = Storage(results).list("equivariance")
    Storage(results).delete(part.key)
    with pytest.raises(AnalysisError, match="must all be there and whole"):
        load("equivariance", results)
    with pytest.raises(AnalysisError, match="SQL must run over the tables"):
        query("select avg(error) from equivariance", results)
    assert query("select count(*) as n from trials", results).to_pylist() == [{"n": 1}]


def test_a_part_with_rows_missing_is_noticed(collected, make_record, make_evaluation):
    record = make_record()
    _, results = collected(record, make_evaluation(record))
    [old] = Storage(results).list("equivariance")
    rows = load("equivariance", results)
    with parts.PartWriter(old.key.split("/")[1].removesuffix(".parquet"), Storage(results)) as new:
        fewer = pa.Table.from_pandas(rows[:-1], SCHEMAS["equivariance"], preserve_index=False)
        new.add("equivariance", fewer)
    with pytest.raises(AnalysisError, match="as many rows as evaluations says, 72; they hold 71"):
        load("equivariance", results)


def test_a_block_that_fails_stores_no_part(tmp_path):
    results = Storage(tmp_path / "results")

    def stop_after(writer: parts.PartWriter) -> None:
        writer.add("equivariance", SCHEMAS["equivariance"].empty_table())
        raise InterruptedError

    with pytest.raises(InterruptedError), parts.PartWriter("a", results) as writer:
        stop_after(writer)
    assert list(results.list("equivariance")) == []
