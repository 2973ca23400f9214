from pathlib import Path

import pytest
import yaml

import tune_jobs
from analysis.tables.schemas import SCHEMAS
from tune_jobs import run_study
from tune_jobs.errors import TuneJobsError
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage


@pytest.fixture
def study(bars: Path, tmp_path: Path) -> Path:
    """Two seeds at a learning rate that works, two at one that diverges."""
    axes = {
        **{"model": "standard", "dataset": str(bars), "scenario": 2, "kernel_size": 3},
        **{"interpolation": None, "lr": [3e-3, 1e30], "seed": [1, 2]},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "axes": axes, "recipe": {"max_epochs": 2}}))
    return path


@pytest.mark.ray
def test_a_study_run_from_python_returns_its_results_and_why_others_have_none(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said: list[str] = []
    storage = tmp_path / "runs"
    frame = run_study(study, storage, max_concurrent=2, say=said.append)
    assert len(frame) == 4
    good, bad = (frame[frame["lr"] == lr].sort_values("seed") for lr in (3e-3, 1e30))
    assert [*good["status"]] == ["finished", "finished"]
    assert [*bad["status"]] == ["failed", "failed"]
    assert bad["error"].str.startswith("DivergedError: A loss must be a finite").all()
    assert bad["test_accuracy"].isna().all()
    for row in good.itertuples():
        content = Storage(storage).read(f"records/{row.point_id}.json")
        record = TrialRecord.from_json(content)
        assert (row.test_accuracy, row.seed) == (record.test_accuracy, record.point.seed)
        assert row.epochs == 2
    assert frame["reported"].all()
    assert {*frame.columns} - {*SCHEMAS["trials"].names} == {"reported"}
    monkeypatch.setitem(__import__("sys").modules, "ray", None)  # importing it would raise
    again = run_study(str(study), storage, only=["lr=0.003"], say=said.append)
    assert again.equals(frame[frame["lr"] == 3e-3].reset_index(drop=True))
    assert said[-1] == "study small: nothing is left to do"


def test_a_search_is_refused_by_name(study_file, storage: Storage):
    with pytest.raises(TuneJobsError, match=r"wide is a search: run_search\."):
        run_study(study_file(), storage)


def test_it_is_what_the_package_offers():
    assert tune_jobs.run_study is run_study
    assert "run_study" in tune_jobs.__all__
