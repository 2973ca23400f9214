import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.cli import main

GOLDEN = Path(__file__).parent.parent / "golden"
EXPORT = GOLDEN / "mlflow-emoji-2.csv.gz"
BY_SCALE = GOLDEN / "by-scale-emoji-2.csv.gz"


@pytest.fixture
def runs(tmp_path, make_record, put, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "runs", make_record(seed=1, correct=9), make_record(seed=2, correct=18))
    return "runs"


def test_records_become_a_report_in_two_commands(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("stir.terminal.progress.LINE_SECONDS", 0.0)  # a line at each step
    assert main(["collect", "--storage", runs, "--out", "demo/results"]) == 0
    assert main(["report", "--results", "demo/results", "--out", "demo"]) == 0
    out = capsys.readouterr()
    reading, drawing = [
        [line for line in out.err.splitlines() if line.startswith(what)]
        for what in ("Reading objects: ", "Drawing figures: ")
    ]
    assert [*reading, *drawing] == out.err.splitlines()
    assert reading[-1] == "Reading objects: 2 of 2"
    assert drawing == [f"Drawing figures: {done} of 11" for done in range(1, 12)]
    assert "2 trials (2 new)" in out.out
    assert {path.name for path in (tmp_path / "demo").rglob("*.*")} >= {
        "trials.parquet",
        "epochs.parquet",
        "scale_accuracy.parquet",
        "generalization.svg",
        "generalization.pdf",
        "generalization.png",
        "report.html",
    }


def test_a_query_prints_a_table(runs, capsys):
    main(["collect", "--storage", runs])
    capsys.readouterr()
    assert (
        main(
            [
                "query",
                "select model, count(*) as n, avg(test_accuracy) as mean from trials group by 1",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.split() == ["model", "n", "mean", "standard", "2", "0.375"]


def test_a_query_answers_in_json(runs, capsys):
    main(["collect", "--storage", runs])
    capsys.readouterr()
    sql = "select seed, test_accuracy from trials order by seed"
    assert main(["query", sql, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"seed": 1, "test_accuracy": 0.25},
        {"seed": 2, "test_accuracy": 0.5},
    ]


def test_a_query_answers_in_csv(runs, capsys):
    main(["collect", "--storage", runs])
    capsys.readouterr()
    assert main(["query", "select seed from trials order by seed", "--format", "csv"]) == 0
    assert capsys.readouterr().out == '"seed"\n1\n2\n'


def test_a_query_writes_the_parquet_file_it_is_told_to(runs, tmp_path):
    main(["collect", "--storage", runs])
    assert main(["query", "select seed from trials order by seed", "--out", "answer.parquet"]) == 0
    assert pq.read_table(tmp_path / "answer.parquet").to_pylist() == [{"seed": 1}, {"seed": 2}]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["query", "select * from read_csv('/etc/passwd')"], "SQL must run over the tables"),
        (["query", "select 1", "--results", "nowhere"], "stir-analysis collect"),
        (["query", "select 1", "--out", "answer.xls"], "csv, json, parquet"),
        (["query", "select 1", "--format", "parquet"], "--out FILE"),
        (["figures", "generalisation"], "one of overview, generalization"),
        (["tables", "times"], "one of accuracy, time"),
        (["compare", "--margin", "-1"], "above 0"),
        (["import-mlflow", "nowhere.csv"], "nowhere.csv"),
        (["report", "--results", "nowhere"], "nowhere has no trials.parquet"),
        (["collect", "--storage", "run"], "folder that is there"),
        (["collect", "--storage", "gs://bucket"], "folder or s3://"),
        (["collect", "--storage", "runs", "--out", "/proc/results"], "/proc/results"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(argv, words, runs, capsys):
    main(["collect", "--storage", runs])
    capsys.readouterr()
    assert main(argv) == 2
    out = capsys.readouterr()
    assert words in out.err
    assert out.err.splitlines()[-1].startswith("stir-analysis: ")
    assert "Traceback" not in out.err
    assert out.out == ""


def test_a_damaged_record_is_named_with_status_1(runs, tmp_path, capsys):
    (tmp_path / "runs" / "records" / f"{'0' * 12}.json").write_text("{")
    assert main(["collect", "--storage", runs]) == 1
    out = capsys.readouterr()
    assert "2 trials (2 new), 1 damaged" in out.out
    assert f"{'0' * 12}.json: A JSON object must end as it was written" in out.err


def test_every_command_shows_an_example(capsys):
    for command in ("collect", "import-mlflow", "query", "figures", "tables", "compare", "report"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert f"example: stir-analysis {command}" in " ".join(capsys.readouterr().out.split())


def test_an_export_becomes_tables_and_figures_of_published_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["import-mlflow", str(EXPORT), "--by-scale", str(BY_SCALE)]) == 0
    assert "75 published trials in 3 cells, 15 with accuracies by scale" in capsys.readouterr().out
    assert main(["figures", "overview", "time", "--out", "."]) == 0
    assert {path.name for path in (tmp_path / "figures").glob("*.svg")} == {
        "overview.svg",
        "time.svg",
    }
    out = capsys.readouterr().out
    assert out.endswith("/figures: overview, time (each as svg, pdf, png)\n")
    assert out.count("\n") == 1
    assert main(["tables", "all", "--format", "csv", "--out", "tables"]) == 0
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        "accuracy.csv",
        "time.csv",
        "differences.csv",
    }
    assert "no ranks: Ranks need three models" in capsys.readouterr().err


def test_a_figure_asked_for_by_name_that_cannot_be_drawn_is_an_error(runs, capsys):
    main(["collect", "--storage", runs])
    assert main(["figures", "ranks"]) == 2
    assert "no ranks: Ranks need three models" in capsys.readouterr().err


def test_a_damaged_export_row_is_named_with_status_1(tmp_path, capsys):
    lines = gzip.decompress(EXPORT.read_bytes()).decode().splitlines()
    (tmp_path / "export.csv").write_text("\n".join([*lines[:3], "xyz"]))
    assert main(["import-mlflow", str(tmp_path / "export.csv"), "--out", str(tmp_path)]) == 1
    assert "export.csv line 4: a row must have 26 fields; it has 1." in capsys.readouterr().err


def test_compare_prints_a_verdict_per_cell(runs, capsys):
    main(["collect", "--storage", runs])
    capsys.readouterr()
    assert main(["compare", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["model"], row["seeds"], row["verdict"]) == ("standard", 2, "too few runs")
    assert main(["compare"]) == 0
    assert "too few runs" in capsys.readouterr().out


def test_a_long_answer_is_cut_on_the_terminal_and_whole_in_a_file(runs, capsys):
    assert main(["collect", "--storage", runs]) == 0
    capsys.readouterr()
    sql = "select i from range(1003) as t(i)"
    assert main(["query", sql]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2] + lines[-2:]] == ["i", "0", "999", "..."]
    assert "3 more rows" in lines[-1]
    assert main(["query", sql, "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1004


def test_tables_are_of_accuracy_unless_asked_for_more_and_csv_is_one_at_a_time(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    main(["import-mlflow", str(EXPORT)])
    capsys.readouterr()
    assert main(["tables"]) == 0
    assert capsys.readouterr().out.startswith("**Test accuracy.**")
    assert main(["tables", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("dataset,scenario,model,lr,seeds")
    assert main(["tables", "accuracy", "time", "--format", "csv"]) == 2
    out = capsys.readouterr()
    assert "must be of one table; got accuracy, time" in out.err
    assert out.out == ""


@pytest.mark.parametrize(
    ("argv", "near"), [(["figures", "overveiw"], "overview"), (["tables", "rank"], "ranks")]
)
def test_a_misspelt_figure_or_table_names_the_nearest(argv, near, capsys):
    assert main(argv) == 2
    assert f"Did you mean {near!r}?" in capsys.readouterr().err
