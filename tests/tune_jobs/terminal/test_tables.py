"""What is shown on a terminal of 80 columns, a real one where it matters."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest

from lab.records import put_record
from tune_jobs.cli import main
from tune_jobs.plan.choices import choices_of, read_runs, store_phase
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.plan.searches import SearchStatus
from tune_jobs.point import GridPoint, Recipe
from tune_jobs.records.search import Sample, SearchOutcome, SearchRecord
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.study.file import parse_study
from tune_jobs.terminal.scores import show_samples

ROOT = Path(__file__).parents[3]


def on_a_terminal(columns: int, *words: str, cwd: Path) -> str:
    """What a command shows on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env=settings | {"PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's end of a terminal
        return b""


def test_the_plan_of_the_paper_fits_80_columns_with_every_name_whole(tmp_path: Path):
    shown = on_a_terminal(80, "tune_jobs", "plan", "paper", cwd=tmp_path)
    tables = [line for line in shown.splitlines() if line.strip()]
    assert "…" not in shown
    for model in ("standard", "spatial_transform", "kanazawa"):
        datasets = [line.split()[1] for line in tables if line.split()[:1] == [model]]
        assert sorted(datasets) == sorted(2 * ["aerial", "emoji", "mnist", "trafficsign"])


@pytest.fixture
def study(bars: Path, storage: Storage) -> OpenedStudy:
    """Run as far as three of four points."""
    axes = {
        **{"model": ["standard", "xu"], "dataset": str(bars), "scenario": 2, "kernel_size": 3},
        **{"interpolation": None, "lr": 0.001, "seed": [1, 2]},
    }
    opened = open_study(parse_study({"name": "small", "axes": axes}, where="x.yaml"), None)
    first, second, third, _ = map(opened.spec, opened.study.points)
    put_record(storage, first, valid_accuracy=0.9, correct=1)
    put_record(storage, second, valid_accuracy=0.9, correct=2)
    put_record(storage, third, valid_accuracy=0.1, correct=3)
    (phase,) = opened.study.phases
    runs = read_runs(opened, storage, phase, opened.study.points, take_inventory(storage))
    store_phase(opened, storage, runs, choices_of(runs))
    return opened


def test_status_shows_accuracies_best_first_and_says_once_what_all_rows_share(
    study: OpenedStudy, storage: Storage, capsys: pytest.CaptureFixture[str]
):
    assert main(["status", "--storage", storage.uri]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert " ".join(shown[0]).endswith("dataset bars, scenario 2, kernel 3, lr 0.001")
    assert shown[1] == ["model", "accuracy", "finished", "to", "do"]
    assert shown[3] == ["xu", "75.0%", "1", "1"]
    assert shown[4] == ["standard", "37.5%", "2", "0"]
    assert shown[5] == ["all", "3", "1"]
    assert shown[6] == ["study", "small,", "phase", "all:", "4", "points"]


def test_the_best_samples_of_a_search_are_shown_in_order_with_what_was_drawn(
    capsys: pytest.CaptureFixture[str],
):
    point = GridPoint(
        model="standard", dataset="emoji", scenario=2, kernel_size=7, interpolation=None,
        lr=0.01, seed=1,
    )  # fmt: skip
    ranked = []
    ends = [(0.0123456789, "finished", (0.5, 0.25), 0.75), (0.1, "stopped", (0.125,), None)]
    for number, (lr, status, valid, test) in enumerate(ends, start=1):
        drawn = {"lr": lr, "kernel_size": 7}
        sample = Sample(
            study="wide", number=number, point_id=f"{number:012}", drawn=drawn,
            point=replace(point, lr=lr), recipe=Recipe(),
        )  # fmt: skip
        outcome = SearchOutcome(
            study="wide", point_id=sample.point_id, status=TrialState(status), reason="",
            valid_accuracies=valid, test_accuracy=test, ended_at="",
        )  # fmt: skip
        ranked.append((sample, outcome))
    search = SearchRecord(
        study="wide", fixed={}, drawn={}, trials=2, rng=1, sampler="random", asha=None,
        written_at="",
    )  # fmt: skip
    show_samples(SearchStatus(search=search, drawn=2, states={}, ranked=tuple(ranked)))
    shown = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert shown[0] == ["samples", "of", "wide,", "kernel_size", "7"]
    assert shown[1] == ["sample", "lr", "validation", "test", "epochs", "ended"]
    assert shown[3:] == [
        ["1", "0.01235", "50.0%", "75.0%", "2", "finished"],
        ["2", "0.1", "12.5%", "1", "stopped"],
    ]
