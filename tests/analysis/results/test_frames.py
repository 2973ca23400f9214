"""Results from Python, and ``reported.parquet`` for tools that read files."""

from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

import analysis
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.tables.schemas import SCHEMAS

EXPORT = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"


@pytest.fixture
def results(tmp_path, make_record, make_phase, put):
    """Seeds 1 and 2 of standard at the chosen rate, a losing rate, and one of ensemble."""
    fast, slow = make_record(lr=1e-2), make_record(lr=1e-3, correct=18)
    second = make_record(lr=1e-3, seed=2, correct=36)
    phase = make_phase(fast, slow, lr=1e-3)
    put(tmp_path / "runs", fast, slow, second, phase, make_record(model="ensemble"))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    return tmp_path / "results"


def test_a_query_answers_with_a_frame(results):
    means = analysis.query(
        "select model, avg(test_accuracy) as mean from reported group by 1 order by 1", results
    )
    expected = pd.DataFrame({"model": ["ensemble", "standard"], "mean": [0.25, 0.75]})
    pd.testing.assert_frame_equal(means, expected)


def test_sums_of_whole_numbers_are_whole_numbers(results):
    sums = analysis.query(
        "select sum(correct) as c, sum(correct) / 2 as h from scale_accuracy", results
    )
    assert sums["c"].dtype == "int64"
    assert sums["c"].tolist() == [48 * (9 + 18 + 36 + 9)]
    assert sums["h"].tolist() == [24 * (9 + 18 + 36 + 9)]


def test_decimals_that_are_not_whole_or_not_known_are_floats(results):
    frame = analysis.query("select * from (values (1.25::decimal(6,2)), (null)) as t(x)", results)
    assert frame["x"].dtype == "float64"
    assert frame["x"].iloc[0] == 1.25
    assert frame["x"].isna().iloc[1]


def test_the_reported_trials_can_be_loaded_and_leave_losing_rates_out(results):
    reported = analysis.load("reported", results)
    assert list(reported.columns) == SCHEMAS["trials"].names
    assert sorted(zip(reported["model"], reported["seed"], reported["lr"], strict=True)) == [
        ("ensemble", 1, 1e-3),
        ("standard", 1, 1e-3),
        ("standard", 2, 1e-3),
    ]


def test_every_tool_finds_the_reported_trials_as_a_file(results):
    path = results / "reported.parquet"
    loaded = analysis.load("reported", results).sort_values("point_id")
    assert pd.read_parquet(path)["point_id"].tolist() == loaded["point_id"].tolist()
    [(mean,)] = duckdb.sql(
        f"select avg(test_accuracy) from '{path}' where model = 'standard'"
    ).fetchall()
    assert mean == 0.75
    assert pq.read_metadata(path).metadata[b"row_count"] == b"3"


def test_the_file_follows_what_is_collected_and_imported_later(tmp_path, results, make_record, put):
    put(tmp_path / "runs", make_record(model="xu"))
    collect([str(tmp_path / "runs")], str(results))
    assert "xu" in set(pd.read_parquet(results / "reported.parquet")["model"])
    import_mlflow(str(EXPORT), str(results))
    models = set(pd.read_parquet(results / "reported.parquet")["model"])
    assert {"standard", "standard published"} <= models


def test_tables_of_before_the_file_was_written_answer_too(results):
    (results / "reported.parquet").unlink()
    assert len(analysis.load("reported", results)) == 3


def test_a_misspelt_table_names_the_nearest(results):
    with pytest.raises(analysis.AnalysisError, match="Did you mean 'reported'"):
        analysis.load("report", results)


@pytest.mark.parametrize(
    "ask", [lambda at: analysis.load("reported", at), lambda at: analysis.query("select 1", at)]
)
def test_a_folder_without_tables_says_how_to_make_them(ask, tmp_path):
    with pytest.raises(analysis.AnalysisError, match="stir-analysis collect --storage"):
        ask(tmp_path)
