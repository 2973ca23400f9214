"""Folders of runs on this machine: gone with their process, and only then."""

import signal
import subprocess
import sys
from pathlib import Path

from tune_jobs.cluster.scratch import OWNER, scratch_folder

WAIT = """
import sys
from pathlib import Path
from tune_jobs.cluster.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "ray").mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


def begin(place: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_run_left_goes_when_the_next_one_begins(tmp_path: Path):
    process, left = begin(tmp_path)
    with process:
        process.send_signal(signal.SIGKILL)
    assert (left / "ray").is_dir()
    with scratch_folder(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_still_uses_stays(tmp_path: Path):
    process, used = begin(tmp_path)
    with process:
        with scratch_folder(tmp_path) as own:
            assert set(tmp_path.iterdir()) == {own, used}
        process.communicate("")
    assert not used.exists()


def test_what_no_run_has_made_stays(tmp_path: Path):
    foreign = tmp_path / "elsewhere"
    foreign.mkdir()
    (foreign / OWNER).touch()
    (tmp_path / "tune-jobs-link").symlink_to(foreign)
    (tmp_path / "tune-jobs-mine").mkdir()
    (tmp_path / "tune-jobs-notes.txt").touch()
    before = set(tmp_path.rglob("*"))
    with scratch_folder(tmp_path):
        pass
    assert set(tmp_path.rglob("*")) == before
