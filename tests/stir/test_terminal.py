import os
import subprocess
import sys
from pathlib import Path

import pytest

from stir.terminal import progress_bar

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["stir", "list"],
        ["tune_jobs", "status", "--storage", ".", "--json"],
        ["tune_jobs", "plan", "demo"],
        ["tune_jobs", "submit", "demo", "--storage", "s3://bucket/x", "--dry-run"],
    ],
)
def test_a_reader_that_has_gone_ends_a_command_without_a_word(command: list[str], tmp_path: Path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    seconds = iter([0.0, 1.0, 6.0, 6.0, 7.0, 12.0, 12.0])
    monkeypatch.setattr("stir.terminal.progress.time.monotonic", lambda: next(seconds))
    with progress_bar("counting") as progress:
        for done in range(1, 5):
            progress(done, 4)
    assert capsys.readouterr().err == "counting: 2 of 4\ncounting: 4 of 4\n"
