import json

import pytest

from analysis import AnalysisError
from analysis.collection.collect import collect
from analysis.results.answers import FORMATS
from analysis.results.query import query


@pytest.fixture
def results(tmp_path, make_record, put) -> str:
    records = [make_record(seed=seed, correct=9 * seed) for seed in (1, 2)]
    put(tmp_path / "runs", *records, make_record(model="ensemble", correct=36))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    return str(tmp_path / "results")


def test_sql_answers_over_the_tables(results):
    answer = query(
        "select model, count(*) as n, avg(test_accuracy) as mean from trials group by 1 order by 1",
        results,
    )
    assert answer.to_pylist() == [
        {"model": "ensemble", "n": 1, "mean": 1.0},
        {"model": "standard", "n": 2, "mean": 0.375},
    ]


def test_a_misspelt_table_hints_at_the_nearest_of_ours(results):
    with pytest.raises(AnalysisError, match=r"'reported'\?$") as error:
        query("select model from reprted", results)
    assert "Table with name reprted does not exist! Did you mean" in str(error.value)


def test_sql_joins_trials_and_scales(results):
    answer = query(
        "select sum(correct) as c from trials join scale_accuracy using (point_id) "
        "where scale between 33 and 48 and model = 'ensemble'",
        results,
    )
    assert answer.to_pylist() == [{"c": 16 * 36}]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('{file}')",
        "select * from read_csv('{file}')",
        "select * from read_parquet('{results}/trials.parquet')",
        "select * from '{file}'",
        "select * from glob('{results}/*')",
        "copy trials to '{new}'",
        "copy (select 1) to '{new}' (format parquet)",
        "export database '{new}'",
        "attach '{new}' as other",
        "select * from read_csv('https://example.org/x.csv')",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "delete from trials",
        "create table other as select 1",
        "select 1; select 2",
        "",
        "pragma database_list",
        "select getenv('HOME')",
        "select * from read_blob('{file}')",
        "select * from sniff_csv('{file}')",
        "from '{file}'",
        "select * from query('select * from read_csv(''{file}'')')",
        "copy trials from '{file}'",
        "select * from duckdb_secrets()",
        "select * from load_aws_credentials()",
        "call pragma_version()",
        "set memory_limit = '1GB'",
        "reset threads",
        "update trials set model = 'x'",
        "insert into trials select * from trials",
        "prepare a as select 1",
        "select * from results",
        "selekt 1",
    ],
)
def test_sql_that_reaches_outside_or_changes_something_is_refused(sql, results, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nxyzzy\n")
    new = tmp_path / "new"
    with pytest.raises(AnalysisError) as error:
        query(sql.format(file=secret, results=results, new=new), results)
    assert "xyzzy" not in str(error.value)
    assert not new.exists()


def test_reported_holds_what_figures_average(tmp_path, make_record, make_failure, make_phase, put):
    fast, slow = make_record(lr=1e-2, correct=36), make_record(lr=1e-3, correct=9)
    put(tmp_path / "runs", fast, slow, make_failure(seed=7), make_phase(fast, slow, lr=1e-3))
    put(tmp_path / "runs", make_record(model="xu"), make_record(model="xu", kernel_size=11))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    sql = "select model, avg(test_accuracy), count(*) from Reported group by 1 order by 1"
    assert [tuple(row.values()) for row in query(sql, str(tmp_path / "results")).to_pylist()] == [
        ("standard", 0.25, 1),
        ("xu k=11", 0.25, 1),
        ("xu k=7", 0.25, 1),
    ]


def test_columns_of_one_name_are_numbered_and_none_is_lost(results):
    sql = "select a.seed, b.seed, 3 as seed_2 from trials a join trials b using (point_id) limit 1"
    assert query(sql, results).column_names == ["seed", "seed_3", "seed_2"]


def test_json_holds_numbers_and_null_for_what_is_none(results):
    answer = query(
        "select sum(seed) as whole, 1.5::decimal(3, 1) as part, 'nan'::double as none, "
        "[1.0::double, 'inf'::double] as list, date '2026-01-01' as day from trials",
        results,
    )
    assert json.loads(FORMATS["json"](answer)) == [
        {"whole": 4, "part": 1.5, "none": None, "list": [1.0, None], "day": "2026-01-01"}
    ]


def test_lists_are_not_for_csv(results):
    with pytest.raises(AnalysisError, match="seeds holds list"):
        FORMATS["csv"](query("select list(seed) as seeds from trials", results))


def test_a_folder_without_tables_says_how_to_make_them(tmp_path):
    with pytest.raises(AnalysisError, match="stir-analysis collect --storage"):
        query("select 1", str(tmp_path))
