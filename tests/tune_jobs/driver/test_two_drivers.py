"""Two people run one study on one storage at once."""

import re
import sys
from pathlib import Path

import pytest

from lab.hold import Hold
from lab.processes import started, wait_for
from lab.records import keys
from tune_jobs.records.keys import point_id_of
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

pytestmark = pytest.mark.ray

SEEDS = range(1, 7)


def test_two_drivers_share_a_study_and_neither_begins_what_the_other_is_at(
    bars: Path, tmp_path: Path, hold: Hold
):
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
    command = [sys.executable, "-m", "tune_jobs", "run", study, "--storage", storage]
    command += ["--max-concurrent", "1"]
    with started(command) as first, started(command) as second:
        wait_for(lambda: len(keys(storage, "claims")) == 2, first)
        claimed = {point_id_of(key) for key in keys(storage, "claims")}
        hold.release()
        outputs = [driver.communicate(timeout=300)[0] for driver in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    found = keys(storage, "records")
    records = [TrialRecord.from_json(Storage(storage).read(key)) for key in found]
    assert sorted(record.point.seed for record in records) == list(SEEDS)
    held = {record.point.seed for record in records if record.point_id in claimed}
    trained = [
        {int(seed) for seed in re.findall(r"^finished .* seed=(\d+)", text, re.M)}
        for text in outputs
    ]
    assert trained[0] | trained[1] == set(SEEDS)
    # Of points that are free, two drivers may begin one in the same moment.
    assert [len(seeds & held) for seeds in trained] == [1, 1]
    assert not trained[0] & trained[1] & held
    assert keys(storage, "claims", "checkpoints") == []
    assert len(keys(storage, "weights")) == len(SEEDS)
