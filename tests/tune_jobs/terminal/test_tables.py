"""What is shown on a terminal of 80 columns, a real one where it matters."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from lab.records import put_record
from tune_jobs.cli import main
from tune_jobs.plan.choices import choices_of, read_runs, store_phase
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.storage import Storage
from tune_jobs.study.file import parse_study

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
