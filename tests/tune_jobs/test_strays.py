"""Files that people, editors and sync tools leave in a storage: named once, never counted."""

import json
from pathlib import Path

import pytest

from analysis.cli import main as stir_analysis
from lab.records import put_failure, put_record
from tune_jobs.cli import main
from tune_jobs.driver.options import RunOptions
from tune_jobs.driver.phases import run_phases
from tune_jobs.evaluation.points import evaluable
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.study.file import parse_study


@pytest.fixture
def study(bars: Path, tmp_path: Path) -> OpenedStudy:
    axes = {
        "model": "standard",
        "dataset": str(bars),
        "scenario": 2,
        "kernel_size": 3,
        "interpolation": None,
        "lr": 0.001,
        "seed": [1, 2],
    }
    content = {"name": "mine", "axes": axes}
    (tmp_path / "mine.yaml").write_text(json.dumps(content))
    return open_study(parse_study(content, where="mine.yaml"), None)


@pytest.fixture
def strays(study: OpenedStudy, storage: Storage) -> set[str]:
    """A storage with one finished and one failed point, and stray files in every folder."""
    first, second = map(study.spec, study.study.points)
    put_record(storage, first, valid_accuracy=0.5)
    put_failure(storage, second, "OSError: the disk was full")
    names = {
        f"records/{second.point_id}.json.bak",
        f"records/{second.point_id} (1).json",
        f"records/.stversions/{second.point_id}.json",
        f"records/old/{second.point_id}.json",
        f"claims/{second.point_id}.sync-conflict-20260101-000000-ABCDEFG.json",
        f"failures/{second.point_id}/1 copy.json",
        "failures/notes.txt",
    }
    for name in names:
        path = Path(storage.uri, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not ours")
    for folder in ("checkpoints", "weights", "studies", "searches", "evaluations"):
        Path(storage.uri, folder).mkdir(exist_ok=True)
        Path(storage.uri, folder, "Thumbs.db").write_text("not ours")
    Path(storage.uri, f"records/.{second.point_id}.json.swp").write_text("an editor's")
    return names


def named(err: str) -> list[str]:
    return [line.split()[1] for line in err.splitlines() if "no object of the storage" in line]


def test_they_are_no_records_and_no_failures(
    study: OpenedStudy, storage: Storage, strays: set[str]
):
    inventory = take_inventory(storage)
    assert [*inventory.states(map(study.spec, study.study.points)).values()] == [
        TrialState.FINISHED,
        TrialState.FAILED,
    ]
    assert set(inventory.strays) == strays
    assert len(inventory.strays) == len(strays)


def test_commands_name_them_once_and_go_on(
    study: OpenedStudy,
    storage: Storage,
    strays: set[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    file, where = str(tmp_path / "mine.yaml"), ["--storage", storage.uri]
    for command, more in (
        (["plan", file, *where, "--json"], 0),
        (["status", *where, "--json"], 2),
        (["clean", *where], 2),
    ):
        before = {item.key for item in storage.list("")}
        assert main(command) == 0
        out, err = capsys.readouterr()
        lines = named(err)
        assert len(lines) == len(set(lines)) == len(strays) + more
        assert {item.key for item in storage.list("")} == before  # nor does clean remove them
        if command[0] != "clean":
            cells = json.loads(out).get("cells") or json.loads(out)["phases"][0]["cells"]
            assert [(cell["finished"], cell["failed"]) for cell in cells] == [(1, 1)]
    assert main(["export", *where, "--tensorboard", str(tmp_path / "boards")]) == 0
    assert "1 added" in capsys.readouterr().out


def test_a_run_a_list_of_evaluations_and_a_collection_leave_them_out(
    study: OpenedStudy, storage: Storage, strays: set[str], tmp_path: Path, capsys
):
    summary = run_phases(study, storage, lambda plan, seconds: pytest.fail("runs"), RunOptions())
    assert [*summary.states.values()] == [TrialState.FINISHED, TrialState.FAILED]
    assert set(summary.strays) == strays
    points = evaluable("mine", storage)
    assert (len(points.todo), len(points.unfinished)) == (1, 1)
    assert {name.rpartition("/")[2] for name in points.strays} >= {"Thumbs.db"}
    results = str(tmp_path / "results")
    assert stir_analysis(["collect", "--storage", storage.uri, "--out", results]) == 0
    out, err = capsys.readouterr()
    assert "1 trial (1 new), 1 failed" in out
    assert err.count("is no object of a storage") == 6 + 3  # claims are not collected


def test_each_folder_is_listed_once(
    study: OpenedStudy, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for spec in map(study.spec, study.study.points):
        put_record(storage, spec, valid_accuracy=0.5)
    listed: list[str] = []
    whole = Storage.list

    def counted(self: Storage, prefix: str):
        listed.append(prefix)
        return whole(self, prefix)

    monkeypatch.setattr(Storage, "list", counted)
    of_points = ["claims", "records", "failures"]
    file, where = str(tmp_path / "mine.yaml"), ["--storage", storage.uri]
    for command, folders in (
        (["plan", file], of_points),
        (["run", file], of_points),
        (["status"], [*of_points, "studies", "searches", "costs"]),
        (["clean"], ["checkpoints", "weights", *of_points]),
        (["evaluate", "mine"], ["records", "studies/mine", "evaluations"]),
    ):
        listed.clear()
        main([*command, *where])
        assert sorted(listed) == sorted(folders), command[0]
