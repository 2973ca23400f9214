"""A trial on a real Ray, on a machine that hears that it will be taken away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.metadata_service import MetadataServer

pytestmark = pytest.mark.ray


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    for _ in range(2400):
        if condition():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    pytest.fail("it did not happen within two minutes")


def test_a_trial_leaves_with_a_checkpoint_and_its_node_takes_no_other(bars: Path, tmp_path: Path):
    study, storage = tmp_path / "spot.yaml", tmp_path / "runs"
    study.write_text(
        f"""
name: spot
axes: {{model: standard, dataset: {bars}, scenario: 2, kernel_size: 7, interpolation: null,
        lr: 3e-3, seed: [1, 2]}}
recipe: {{max_epochs: 5000, patience: 5000, batch_size: 4}}
"""
    )
    with MetadataServer() as metadata:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tune_jobs", "run", str(study), "--storage", str(storage)),
                *("--max-concurrent", "1", "--checkpoint-seconds", "3600"),
            ],
            env=os.environ | metadata.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(lambda: list(storage.glob("claims/*")), process)
        when = datetime.now(UTC) + timedelta(seconds=120)
        metadata.notice = json.dumps({"action": "terminate", "time": when.isoformat()})
        wait_for(lambda: list(storage.glob("checkpoints/*")), process)
        wait_for(lambda: not list(storage.glob("claims/*")), process)
        time.sleep(3)  # enough for a trial to begin, were the node not drained
        assert list(storage.glob("claims/*")) == []
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "seed=1: its machine is about to be taken away; it resumes from its checkpoint" in said
    assert "Traceback" not in said
    assert len(list(storage.glob("checkpoints/*"))) == 1
    assert list(storage.glob("failures/*")) == []
