"""A trial on a real Ray, on a machine that hears that it will be taken away."""

import json
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.metadata_service import MetadataServer
from lab.processes import WAIT_SECONDS, started, wait_for
from lab.records import keys

pytestmark = pytest.mark.ray


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
    command = [sys.executable, "-m", "tune_jobs", "run", study, "--storage", storage]
    command += ["--max-concurrent", "1", "--checkpoint-seconds", "3600"]
    with MetadataServer() as metadata, started(command, metadata.variables) as process:
        wait_for(lambda: keys(storage, "claims"), process)
        when = datetime.now(UTC) + timedelta(seconds=120)
        metadata.notice = json.dumps({"action": "terminate", "time": when.isoformat()})
        wait_for(lambda: keys(storage, "checkpoints"), process)
        wait_for(lambda: not keys(storage, "claims"), process)
        time.sleep(3)  # enough for a trial to begin, were the node not drained
        assert keys(storage, "claims") == []
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130, said
    assert "seed=1: its machine is about to be taken away; it resumes from its checkpoint" in said
    assert "Traceback" not in said
    assert len(keys(storage, "checkpoints")) == 1
    assert keys(storage, "failures") == []
