import json
import os
import re
from pathlib import Path

import pytest

from tune_jobs.cli import main
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

TRAIN = ("train", "--model", "standard", "--scenario", "2", "--kernel-size", "3", "--lr", "3e-3")


def train(bars: Path, tmp_path: Path, *more: str) -> int:
    where = ("--dataset", str(bars), "--storage", str(tmp_path / "runs"))
    return main([*TRAIN, *where, "--max-epochs", "2", *more])


def study_file(tmp_path: Path, bars: Path) -> str:
    path = tmp_path / "two.yaml"
    path.write_text(
        f"""
name: two
axes: {{model: standard, dataset: {bars}, scenario: 2, kernel_size: 3, interpolation: null,
        lr: 3e-3, seed: [1, 2]}}
recipe: {{max_epochs: 2}}
"""
    )
    return str(path)


def test_train_prints_epochs_and_result_and_stores_the_record(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(bars, tmp_path) == 0
    out = capsys.readouterr().out.splitlines()
    (path,) = (tmp_path / "runs" / "records").iterdir()
    record = TrialRecord.from_json(Storage(tmp_path / "runs").read(f"records/{path.name}"))
    assert out[0] == f"standard bars s2 k=3 lr=0.003 seed=1: {record.point_id}"
    assert [line.split(":")[0] for line in out[1:3]] == ["epoch 1", "epoch 2"]
    assert f"test accuracy {record.test_accuracy:.4f}" in out[3]
    assert record.provenance.ray_version is None


def test_train_takes_evaluation_for_scenario_and_runs_nothing_twice(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(bars, tmp_path) == 0
    words = ["--evaluation" if word == "--scenario" else word for word in TRAIN]
    where = ["--dataset", str(bars), "--storage", str(tmp_path / "runs"), "--max-epochs", "2"]
    capsys.readouterr()
    assert main([*words, *where]) == 0
    assert capsys.readouterr().out.startswith("already there: test accuracy")


def test_a_trial_that_fails_says_why_and_exits_1(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(bars, tmp_path, "--lr", "1e30") == 1
    said = capsys.readouterr().err
    assert "the trial failed: DivergedError: A loss must be a finite" in said
    assert re.search(r'^  File ".*siconvnet/fit\w*\.py", line \d+, in \w+\n    raise', said)
    (failure,) = (tmp_path / "runs" / "failures").rglob("*.json")
    assert f"all of it is in {failure}" in said


@pytest.mark.parametrize("command", ["train", "run", "plan", "calibrate"])
def test_a_pinned_backend_that_is_not_there_is_refused_before_anything_starts(
    bars: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
):
    monkeypatch.setenv("SICONVNET_BACKEND", "compild")
    storage = ("--storage", str(tmp_path / "runs"))
    if command == "train":
        assert train(bars, tmp_path) == 2
    else:
        study = [] if command == "calibrate" else [study_file(tmp_path, bars)]
        assert main([command, *study, *storage]) == 2
    out = capsys.readouterr()
    assert "SICONVNET_BACKEND must be one of torch, compiled, compiled-avx512" in out.err
    assert out.out == ""
    assert not (tmp_path / "runs").exists()


def test_plan_counts_points_by_state_and_starts_nothing(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(bars, tmp_path) == 0
    capsys.readouterr()
    storage = str(tmp_path / "runs")
    assert main(["plan", study_file(tmp_path, bars), "--storage", storage]) == 0
    heads, _, row, *_ = filter(str.strip, capsys.readouterr().out.splitlines()[1:])
    assert heads.split()[:4] == ["model", "finished", "to", "do"]
    assert row.split()[:3] == ["standard", "1", "1"]
    assert len(list((tmp_path / "runs" / "records").iterdir())) == 1


def test_a_finished_study_says_that_nothing_is_left_and_does_not_start_ray(
    bars: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    for seed in ("1", "2"):
        assert train(bars, tmp_path, "--seed", seed) == 0
    capsys.readouterr()
    monkeypatch.setitem(__import__("sys").modules, "ray", None)  # importing it would raise
    assert main(["run", study_file(tmp_path, bars), "--storage", str(tmp_path / "runs")]) == 0
    first, *table, last, following = capsys.readouterr().out.splitlines()
    assert first == "study two: nothing is left to do"
    assert "accuracy" in table[1]
    assert table[-1].split()[0] == "standard"
    assert last == "study two: 2 finished"
    assert following.startswith(f"next: stir-analysis collect --storage {tmp_path}/runs --out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "dmeo"], "No study is called 'dmeo'. Did you mean 'demo'?"),
        (["run", "none.yaml"], "there is no none.yaml"),
        (["run", "demo", "--data", "nowhere"], "`stir build emoji` makes it"),
        ([*TRAIN, "--dataset", "nowhere.npz"], "nowhere.npz"),
        ([*TRAIN, "--dataset", "emojy"], "No dataset is called 'emojy'. Did you mean 'emoji'?"),
        ([*TRAIN, "--dataset", "emoji", "--model", "disko"], "Did you mean 'disco'?"),
        ([*TRAIN, "--dataset", "emoji", "--scenario", "7"], "scenario must be one of"),
        ([*TRAIN, "--dataset", "emoji", "--device", "cuda"], "there is none here"),
        (["calibrate", "--device", "cuda"], "there is none here"),
        ([*TRAIN, "--dataset", "emoji", "--kernel-size", "9"], "3, 7, 11"),
        ([*TRAIN, "--dataset", "emoji", "--model", "disco"], "disco"),
        ([*TRAIN, "--dataset", "emoji", "--seed", "-3"], "seed must be a whole number"),
        (["plan", "demo", "--storage", "ftp://x"], "folder or s3://bucket/prefix"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_status_2(
    words: list[str],
    message: str,
    tmp_path: Path,
    bars: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    if "ftp://x" in words:
        words = ["plan", study_file(tmp_path, bars), *words[2:]]
    before = set(tmp_path.iterdir())
    assert main(words) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("tune-jobs: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert set(tmp_path.iterdir()) == before


def test_a_storage_that_cannot_be_written_is_refused_before_anything_starts(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "runs").write_text("a file where the folder should be")
    assert train(bars, tmp_path) == 2
    captured = capsys.readouterr()
    assert "Storage must be writable" in captured.err
    assert captured.out == ""


def test_a_truncated_dataset_is_named(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    short = tmp_path / "short.npz"
    short.write_bytes(bars.read_bytes()[:-2000])
    assert train(short, tmp_path) == 2
    assert "short.npz" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["train", "plan", "run", "evaluate"])
def test_every_command_explains_itself_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"example: tune-jobs {command} " in capsys.readouterr().out


def test_plan_paper_prints_the_published_numbers_hours_and_money_without_any_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["plan", "paper", "--data", str(tmp_path), "--storage", str(tmp_path / "runs")]
    assert main([*words, "--price", "3", "--max-concurrent", "8"]) == 0
    out = capsys.readouterr().out
    assert "phase rates: 1,760 points" in out
    assert "points: 1,760 + 5,500, 880 of them twice: 6,380 to train in all; 5,500 reported" in out
    assert re.search(
        r"left: about [\d,.]+ h of trials, [\d,.]+ h with 8 at once, [\d,.]+ at 3 an h", out
    )
    assert "counted as to do: A dataset must be there" in out
    assert "times are from a table made on one CPU thread for 352 of 352 cells" in out


def test_plan_prints_the_same_numbers_for_scripts(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    study, storage = study_file(tmp_path, bars), str(tmp_path / "runs")
    words = ["plan", study, "--storage", storage, "--json", "--price", "2"]
    assert main([*words, "--max-concurrent", "4"]) == 0
    plan = json.loads(capsys.readouterr().out)
    (phase,) = plan["phases"]
    (cell,) = phase["cells"]
    assert (cell["model"], cell["to_do"], cell["finished"], cell["rates"]) == (
        *("standard", 2, 0),
        [0.003],
    )
    assert plan["trial_seconds_left"] == pytest.approx(2 * cell["trial_seconds"])
    assert plan["hours_left"] == pytest.approx(plan["trial_seconds_left"] / 3600 / 4)
    assert plan["money"] == pytest.approx(2 * plan["hours_left"])


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "2days", "h"])
def test_a_limit_that_is_neither_time_nor_points_is_refused(
    limit: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        main(["run", "demo", f"--stop-after={limit}"])
    assert end.value.code == 2
    assert "must be a time such as 2h or 90min, or a number of points" in capsys.readouterr().err


def test_status_shows_states_failures_and_reasons_from_the_storage_alone(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(bars, tmp_path) == 0
    assert train(bars, tmp_path, "--lr", "1e30") == 1
    capsys.readouterr()
    storage = ["--storage", str(tmp_path / "runs")]
    assert main(["status", *storage]) == 0
    out = capsys.readouterr().out
    total = next(line for line in out.splitlines() if "all" in line)
    assert out.splitlines()[1].split()[-2:] == ["finished", "failed"]
    assert total.split() == ["all", "1", "1"]
    assert "failed    standard bars s2 k=3 lr=1e+30 seed=1, attempt 1: DivergedError: A loss" in out
    assert main(["status", *storage, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert [(cell["model"], cell["finished"], cell["failed"]) for cell in status["cells"]] == [
        ("standard", 1, 1)
    ]
    assert status["failed"][0]["point"]["lr"] == 1e30


def test_clean_says_what_goes_and_a_dry_run_leaves_it(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train(bars, tmp_path) == 0
    orphan = tmp_path / "runs" / "weights" / "0123456789ab-0123456789ab.pt"
    orphan.write_bytes(b"x" * 100_000)
    os.utime(orphan, (0, 0))  # younger ones may be needed yet
    before = {path for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    storage = ["--storage", str(tmp_path / "runs")]
    for words, state in ((["--dry-run"], "would be removed"), ([], "removed")):
        assert orphan.exists()
        capsys.readouterr()
        assert main(["clean", *storage, *words]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "weights/0123456789ab-0123456789ab.pt: no record names it",
            f"1 object, 0.1 MB, {state}",
        ]
    after = {path for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert before - after == {orphan}


@pytest.mark.parametrize(
    "command", [["status"], ["clean"], ["evaluate"], ["export", "--tensorboard", "boards"]]
)
def test_a_misspelt_storage_is_not_taken_for_an_empty_one(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--storage", "nowhere"]) == 2
    assert "Storage must be there to be read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
