"""`tune-jobs train` as a process that is stopped and started again."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from tune_jobs.commands.options import INTERRUPTED


def test_a_training_that_was_stopped_says_where_it_goes_on(bars: Path, tmp_path: Path):
    command = [
        *(sys.executable, "-m", "tune_jobs", "train", "--model", "standard"),
        *("--dataset", str(bars), "--scenario", "2", "--max-epochs", "999", "--patience", "999"),
        *("--storage", str(tmp_path / "runs")),
    ]

    def said_until(wanted: str) -> list[str]:
        """What the command printed, which is interrupted once it prints what is wanted."""
        lines = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith(wanted):
                    process.send_signal(signal.SIGINT)
        assert process.returncode == INTERRUPTED
        return lines

    first = said_until("epoch 2:")
    assert "goes on" not in first[0]
    number = len([line for line in first if line.startswith("epoch ")]) + 1
    again = said_until(f"epoch {number}:")
    assert re.search(rf"goes on from epoch {number} after \d+ batch(es)?$", again[0])
    assert again[1].startswith(f"epoch {number}:")
