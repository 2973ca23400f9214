"""Two people run one study on one storage at once."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.hold import Hold
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

pytestmark = pytest.mark.ray

SEEDS = range(1, 7)


def test_two_drivers_share_a_study_and_train_no_point_twice(bars: Path, tmp_path: Path, hold: Hold):
    study, storage = tmp_path / "small.yaml", tmp_path / "runs"
    hold.start(batch_seconds=5)
    study.write_text(
        f"""
name: small
imports: [held]
axes: {{model: held, dataset: {bars}, scenario: 2, kernel_size: 7, interpolation: null,
        lr: 3e-3, seed: {list(SEEDS)}}}
recipe: {{max_epochs: 6, patience: 6, batch_size: 4}}
"""
    )
    command = [sys.executable, "-m", "tune_jobs", "run", str(study), "--storage", str(storage)]
    drivers = [
        subprocess.Popen(
            [*command, "--max-concurrent", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    deadline = time.monotonic() + 120
    while len(list(storage.glob("claims/*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    hold.release()  # each driver has a trial by now
    outputs = [driver.communicate(timeout=300)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs
    trained = [set(re.findall(r"^finished .* seed=(\d+)", text, re.M)) for text in outputs]
    assert sorted(map(int, trained[0] | trained[1])) == list(SEEDS)
    assert trained[0] & trained[1] <= {"1"}  # both may have begun with the first point
    assert all(trained)
    keys = [str(path.relative_to(storage)) for path in storage.glob("records/*")]
    records = [TrialRecord.from_json(Storage(storage).read(key)) for key in keys]
    assert sorted(record.point.seed for record in records) == list(SEEDS)
    assert [path.name for path in storage.glob("c*/*")] == []  # no claim, no checkpoint
    assert len(list(storage.glob("weights/*"))) == len(SEEDS)
