"""Against a database of the real MLflow; its warnings are its own."""

import sys
from pathlib import Path

import pytest

from tune_jobs.cli import main
from tune_jobs.exports.mlflow import EXPERIMENT, MlflowRuns
from tune_jobs.exports.records import export
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has just made, which takes it seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowRuns(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(empty: Path, tmp_path: Path) -> str:
    (tmp_path / "runs.db").write_bytes(empty.read_bytes())
    return f"sqlite:///{tmp_path / 'runs.db'}"


def runs(uri: str) -> dict[str, object]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return {run.data.tags["point_id"]: run for run in found}


def test_each_record_is_a_run_with_parameters_epochs_and_results(
    records: list[TrialRecord], storage: Storage, uri: str
):
    from mlflow import MlflowClient

    assert export(storage, MlflowRuns(uri)).added == 2
    found = runs(uri)
    assert set(found) == {record.point_id for record in records}
    run, record = found[records[1].point_id], records[1]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"standard-bars-s2-seed2-{record.point_id}"
    assert run.data.params == {
        "model": "standard",
        "dataset": "bars",
        "scenario": "2",
        "kernel_size": "3",
        "lr": "0.003",
        "seed": "2",
        "max_epochs": "200",
        "patience": "10",
        "batch_size": "8",
    }
    assert run.data.metrics["test_accuracy"] == record.test_accuracy
    assert run.data.metrics["best_valid_accuracy"] == 0.5
    history = MlflowClient(uri).get_metric_history(run.info.run_id, "valid_accuracy")
    assert [(entry.step, entry.value) for entry in history] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    scales = MlflowClient(uri).get_metric_history(run.info.run_id, "test_accuracy_by_scale")
    assert sorted(entry.step for entry in scales) == list(range(17, 65))


def test_exporting_again_adds_nothing_and_mends_what_was_cut_off(
    records: list[TrialRecord], storage: Storage, uri: str, monkeypatch: pytest.MonkeyPatch
):
    from mlflow import MlflowClient

    def cut_off(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", cut_off)
        with pytest.raises(KeyboardInterrupt):
            export(storage, MlflowRuns(uri))
    assert len(runs(uri)) == 1
    again = export(storage, MlflowRuns(uri))
    assert (again.added, again.there) == (2, 0)
    assert export(storage, MlflowRuns(uri)).added == 0
    assert [run.info.status for run in runs(uri).values()] == ["FINISHED"] * 2


def test_a_uri_that_mlflow_does_not_know_is_one_sentence(
    storage: Storage, capsys: pytest.CaptureFixture[str]
):
    assert main(["export", "--storage", storage.uri, "--mlflow", "gopher://x"]) == 2
    error = capsys.readouterr().err
    assert "--mlflow must be http://HOST:PORT or sqlite:///FILE" in error
    assert error.count("\n") == 1


def test_without_mlflow_the_extra_that_has_it_is_named(
    storage: Storage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert main(["export", "--storage", storage.uri, "--mlflow", "http://127.0.0.1:1"]) == 2
    assert "pip install 'scale-generalization[mlflow]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("postgresql://u:pass%21@h/db", "--mlflow postgresql://h/db needs the driver of its"),
        ("postgresql+no://u:pass%21@h/db?password=pass!", "got 'postgresql+no://h/db': Can't load"),
        ("postgresql://u:pass%21@h:port/db", "got 'postgresql://h:port/db': invalid literal"),
        ("http://u:pass%21@127.0.0.1:9", "runs; http://127.0.0.1:9 does not: API request to"),
        ("http://u:pass!@x?y@127.0.0.1:9", "runs; http://127.0.0.1:9 does not: "),
        ("gopher://u:pass%21@x", "got 'gopher://x': "),
    ],
)
def test_what_cannot_be_reached_is_one_sentence_without_the_password(
    uri: str,
    words: str,
    storage: Storage,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main(["export", "--storage", storage.uri, "--mlflow", uri]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert "pass" not in error


def test_a_password_is_not_printed_when_all_went_well(
    records: list[TrialRecord],
    storage: Storage,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    class Taken(MlflowRuns):
        def __init__(self, uri: str) -> None:
            self.taken: list[TrialRecord] = []

        def known(self) -> set[str]:
            return set()

        def add(self, record: TrialRecord) -> None:
            self.taken.append(record)

    monkeypatch.setattr("tune_jobs.exports.mlflow.MlflowRuns", Taken)
    words = ["export", "--storage", storage.uri, "--mlflow", "http://u:secret@h:5000"]
    assert main(words) == 0
    assert capsys.readouterr().out == "http://h:5000: 2 added, 0 there already\n"
