import json
import shutil
from dataclasses import replace

import pytest

from analysis import load
from analysis.cli import main
from analysis.collection.collect import collect
from analysis.results.folder import ResultsFolder
from tune_jobs.storage import Storage

LATER = "2026-11-22T12:00:00.000+00:00"


@pytest.fixture
def collected(tmp_path):
    """The folder of storages, by their names under the test's folder, collected at once."""

    def collected(*names: str) -> ResultsFolder:
        results = str(tmp_path / "results")
        collect([str(tmp_path / name) for name in names], results)
        return ResultsFolder(results)

    return collected


def test_a_study_becomes_its_points_and_its_choices_with_their_evidence(
    tmp_path, make_record, make_phase, put
):
    fast, slow = make_record(lr=1e-2, valid_accuracy=0.5), make_record(lr=1e-3)
    put(tmp_path / "runs", fast, slow, make_phase(fast, slow, lr=1e-3))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    points = load("study_points", str(tmp_path / "results")).set_index("point_id")
    assert points["reported"].to_dict() == {fast.point_id: False, slow.point_id: True}
    [cell] = load("cells", str(tmp_path / "results")).to_dict("records")
    assert (cell["study"], cell["rule"], cell["model"], cell["lr"]) == (
        "paper",
        "paper",
        "standard",
        1e-3,
    )
    evidence = json.loads(cell["evidence"])
    assert [(rate["lr"], rate["median"]) for rate in evidence] == [(1e-2, 0.5), (1e-3, 0.9)]


def test_a_study_is_read_again_as_it_goes_on(tmp_path, make_record, make_phase, put):
    runs, results = tmp_path / "runs", str(tmp_path / "results")
    fast, slow = make_record(lr=1e-2), make_record(lr=1e-3)
    put(runs, fast, make_phase(fast, slow, lr=None, undecided="lr=0.001 seed=1 missing"))
    collect([str(runs)], results)
    assert load("cells", results)["lr"].isna().all()
    put(runs, slow, make_phase(fast, slow, lr=1e-2))
    collect([str(runs)], results)
    assert list(load("cells", results)["lr"]) == [1e-2]
    assert len(load("study_points", results)) == 2


def test_a_damaged_study_is_named(tmp_path, make_record, put):
    put(tmp_path / "runs", make_record())
    Storage(tmp_path / "runs").write("studies/paper/rates.json", b"{}")
    found = collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert found.finished == 1
    assert "studies/paper/rates.json" in found.damaged[0]


@pytest.mark.parametrize("together", [True, False])
def test_what_either_of_two_storages_decided_is_kept(
    together, tmp_path, make_record, make_phase, put, collected
):
    """The second has not decided the cell of the first, and was written later."""
    fast, slow = make_record(lr=1e-2, valid_accuracy=0.99), make_record(lr=1e-3)
    other = make_record(dataset="mnist")
    put(tmp_path / "one", fast, slow, make_phase(fast, slow, lr=1e-3))
    open_cell = make_phase(fast, slow, lr=None, undecided="missing")
    decided = make_phase(other, lr=1e-3)
    both = replace(
        open_cell,
        points=(*open_cell.points, *decided.points),
        choices=(*open_cell.choices, *decided.choices),
        written_at=LATER,
    )
    put(tmp_path / "two", other, both)
    folder = collected("one", "two") if together else (collected("one"), collected("two"))[1]
    assert folder.cells.set_index("dataset")["lr"].to_dict() == {"emoji": 1e-3, "mnist": 1e-3}
    assert set(folder.trials["point_id"]) == {slow.point_id, other.point_id}
    assert len(folder.study_points) == 3


def test_of_two_decisions_the_later_counts_and_the_other_is_named(
    tmp_path, make_record, make_phase, put, capsys
):
    fast, slow = make_record(lr=1e-2), make_record(lr=1e-3)
    put(tmp_path / "one", fast, slow, make_phase(fast, slow, lr=1e-2))
    put(tmp_path / "two", replace(make_phase(fast, slow, lr=1e-3), written_at=LATER))
    storages = [str(tmp_path / name) for name in ("two", "one")]
    assert main(["collect", "--storage", *storages, "--out", str(tmp_path / "results")]) == 0
    words = "one chose learning rate 0.01 for standard on emoji, Mid2Rest; a later choice in"
    assert words in capsys.readouterr().err
    assert list(ResultsFolder(str(tmp_path / "results")).trials["lr"]) == [1e-3]


def test_a_storage_that_decides_otherwise_later_takes_its_choice_back(
    tmp_path, make_record, make_phase, put, collected
):
    fast, slow = make_record(lr=1e-2), make_record(lr=1e-3)
    put(tmp_path / "runs", fast, slow, make_phase(fast, slow, lr=1e-2))
    assert list(collected("runs").trials["lr"]) == [1e-2]
    put(tmp_path / "runs", make_phase(fast, slow, lr=1e-3))
    folder = collected("runs")
    assert list(folder.trials["lr"]) == [1e-3]
    assert folder.disagreements == []


def test_a_copied_study_folder_is_named_and_the_rest_collected(
    tmp_path, make_record, make_phase, put
):
    record = make_record()
    put(tmp_path / "runs", record, make_phase(record, lr=1e-3))
    shutil.copytree(tmp_path / "runs/studies/paper", tmp_path / "runs/studies/paper-old")
    found = collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    [sentence] = found.damaged
    assert "studies/paper-old/rates.json: An object must be as it was written" in sentence
    assert len(load("study_points", str(tmp_path / "results"))) == 1


@pytest.mark.parametrize("twice", ["points", "choices"])
def test_a_phase_that_lists_something_twice_is_named(twice, tmp_path, make_record, make_phase, put):
    record = make_record()
    phase = make_phase(record, lr=1e-3)
    put(tmp_path / "runs", record, replace(phase, **{twice: getattr(phase, twice) * 2}))
    found = collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    assert found.finished == 1
    assert "must come once in a phase" in found.damaged[0]


def test_what_was_collected_of_a_phase_outlives_its_damage(
    tmp_path, make_record, make_phase, put, collected
):
    record = make_record()
    first, second = make_phase(record, lr=1e-3), replace(make_phase(record, lr=1e-3), phase="more")
    put(tmp_path / "runs", record, first, second)
    collected("runs")
    Storage(tmp_path / "runs").write("studies/paper/rates.json", b"{}")
    folder = collected("runs")
    assert sorted(folder.study_points["phase"]) == ["more", "rates"]
    assert len(folder.cells) == 2
