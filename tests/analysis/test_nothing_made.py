"""A command that could make nothing does not end well."""

import pytest

from analysis.cli import main

HEAD = (
    "run_id,status,start_time,end_time,tags.mlflow.source.git.commit,params.model,params.data,"
    "params.evaluation,params.kernel_size,params.interpolation,params.lr,params.seed,"
    "metrics.test_acc,metrics.best_acc,metrics.train_acc,metrics.val_acc,metrics.test_loss,"
    "metrics.train_loss,metrics.val_loss,metrics.avg_time,metrics.train_time"
)


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch, capsys):
    """Results without a trial."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert main(["collect", "--storage", "runs"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is none in runs: nothing is collected." in said.err


@pytest.mark.parametrize(
    "argv",
    [
        ["figures", "all"],
        ["figures"],
        ["tables", "all"],
        ["tables", "all", "--format", "csv", "--out", "made"],
        ["report"],
        ["compare"],
        ["figures", "all", "--source", "published"],
    ],
)
def test_nothing_made_is_not_success(argv, tmp_path, capsys):
    assert main(argv) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith(("stir-analysis: ", "Drawing figures"))
    assert not list(tmp_path.rglob("*.svg")) + list(tmp_path.rglob("made/*"))


def test_something_made_is(tmp_path, make_record, put):
    put(tmp_path / "runs", make_record())
    main(["collect", "--storage", "runs"])
    assert main(["figures", "overview"]) == 0


@pytest.mark.parametrize("rows", ["", "a,RUNNING" + "," * 19, "x\ny\nz", '"'])
def test_an_export_without_a_usable_row_is_one_sentence_and_changes_nothing(rows, tmp_path, capsys):
    (tmp_path / "export.csv").write_text(f"{HEAD}\n{rows}\n")
    before = {path: path.read_bytes() for path in (tmp_path / "results").iterdir()}
    assert main(["import-mlflow", "export.csv"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "must hold at least one row that can be used" in line
    assert {path: path.read_bytes() for path in (tmp_path / "results").iterdir()} == before


@pytest.mark.parametrize("twice", ["run_id", "params.seed", "metrics.val_loss"])
def test_a_column_that_comes_twice_is_one_sentence(twice, tmp_path, capsys):
    (tmp_path / "export.csv").write_text(f"{HEAD},{twice}\n")
    assert main(["import-mlflow", "export.csv"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"must come once; export.csv has {twice} more often" in line
