"""Studies on a real Ray of their own; it is killed, stopped and started again."""

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lab.hold import Hold
from lab.processes import WAIT_SECONDS, left_of, started, trials_of, wait_for
from lab.records import keys, numbers
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

pytestmark = pytest.mark.ray

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def study(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "small.yaml"
    Hold.bring_model(path.parent)
    path.write_text(
        f"""
name: small
imports: [held]
axes: {{model: held, dataset: {bars}, scenario: 2, kernel_size: 7, interpolation: null,
        lr: 3e-3, seed: {list(SEEDS)}}}
recipe: {{max_epochs: 16, patience: 16, batch_size: 4}}
"""
    )
    return path


def start(study: Path, storage: Path, *more: str) -> AbstractContextManager[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tune_jobs", "run", study, "--storage", storage]
    return started([*command, "--max-concurrent", "2", *more])


def run(study: Path, storage: Path, *more: str) -> tuple[int, str]:
    with start(study, storage, *more) as process:
        output, _ = process.communicate(timeout=180)
    return process.returncode, output


def records(storage: Path) -> dict[str, TrialRecord]:
    stored = Storage(storage)
    found = [TrialRecord.from_json(stored.read(key)) for key in keys(storage, "records")]
    return {record.point_id: record for record in found}


@pytest.fixture(scope="module")
def undisturbed(study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrialRecord]:
    storage = tmp_path_factory.mktemp("undisturbed")
    code, output = run(study, storage)
    assert code == 0, output
    assert "study small: 3 finished" in output
    return records(storage)


def test_every_point_gets_one_record_and_nothing_else_stays(
    undisturbed: dict[str, TrialRecord],
):
    assert sorted(record.point.seed for record in undisturbed.values()) == list(SEEDS)
    assert all(record.provenance.ray_version for record in undisturbed.values())


def test_killing_the_driver_costs_no_record_and_changes_no_number(
    study: Path, tmp_path: Path, undisturbed: dict[str, TrialRecord], hold: Hold
):
    storage = tmp_path / "runs"
    hold.start()
    with start(study, storage, "--checkpoint-seconds", "0.3") as process:
        wait_for(lambda: len(keys(storage, "checkpoints")) == 2, process)
        workers = trials_of(process)
        assert len(workers) == 2
        process.kill()
        process.communicate()
        assert left_of(workers) == []

    hold.release()
    code, output = run(study, storage, "--checkpoint-seconds", "0.3")
    assert code == 0, output
    assert "resumed " in output
    found = records(storage)
    assert {key: numbers(record) for key, record in found.items()} == {
        key: numbers(record) for key, record in undisturbed.items()
    }
    resumed = [record for record in found.values() if record.resumptions]
    assert len(resumed) == 2
    for record in resumed:
        (resumption,) = record.resumptions
        before = [epoch.epoch for epoch in record.epochs if epoch.finished_at < resumption.at]
        assert before == list(range(1, resumption.epoch))
    assert keys(storage, "claims", "checkpoints") == []


def test_killing_a_worker_costs_no_record_and_changes_no_number(
    study: Path, tmp_path: Path, undisturbed: dict[str, TrialRecord], hold: Hold
):
    storage = tmp_path / "runs"
    hold.start()
    with start(study, storage, "--checkpoint-seconds", "0.3") as process:
        wait_for(lambda: len(keys(storage, "checkpoints")) == 2, process)
        trials_of(process)[0].kill()
        hold.release()
        output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    found = records(storage)
    assert {key: numbers(record) for key, record in found.items()} == {
        key: numbers(record) for key, record in undisturbed.items()
    }
    assert sum(len(record.resumptions) for record in found.values()) == 1


def test_ctrl_c_leaves_checkpoints_and_the_same_command_goes_on(
    study: Path, tmp_path: Path, undisturbed: dict[str, TrialRecord], hold: Hold
):
    storage = tmp_path / "runs"
    hold.start()
    with start(study, storage, "--checkpoint-seconds", "3600") as process:
        wait_for(lambda: len(keys(storage, "claims")) == 2, process)
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130, output
    assert "the same command goes on from the checkpoints" in output
    assert len(keys(storage, "checkpoints")) == 2
    assert keys(storage, "claims") == []
    hold.release()
    code, output = run(study, storage)
    assert code == 0, output
    assert output.count("resumed ") == 2
    assert {key: numbers(record) for key, record in records(storage).items()} == {
        key: numbers(record) for key, record in undisturbed.items()
    }


# The command, with an experiment for each trial.
ONE_BY_ONE = """
import sys
from tune_jobs import cli
from tune_jobs.driver import runner
runner.EXPERIMENT_TRIALS = 1
sys.exit(cli.main())
"""


def test_ctrl_c_is_heard_while_the_next_experiment_waits_for_its_turn(
    study: Path, tmp_path: Path, hold: Hold
):
    storage = tmp_path / "runs"
    hold.start()
    command = [sys.executable, "-c", ONE_BY_ONE, "run", study, "--storage", storage]
    with started([*command, "--max-concurrent", "1"]) as process:
        wait_for(lambda: keys(storage, "claims"), process)
        time.sleep(1)  # so that the second experiment is there
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130, output
    assert len(keys(storage, "checkpoints")) == 1
    assert keys(storage, "claims") == []


def test_a_failed_point_makes_the_exit_status_1_and_is_not_tried_again_unasked(
    bars: Path, tmp_path: Path
):
    study, storage = tmp_path / "wild.yaml", tmp_path / "runs"
    study.write_text(
        f"""
name: wild
axes: {{model: standard, dataset: {bars}, scenario: 2, kernel_size: 3, interpolation: null,
        lr: [1e30, 3e-3], seed: 1}}
recipe: {{max_epochs: 1}}
"""
    )
    code, output = run(study, storage)
    assert code == 1
    assert "failed    standard bars s2 k=3 lr=1e+30 seed=1: DivergedError: A loss must be" in output
    assert "1 finished, 1 failed" in output
    code, output = run(study, storage)
    assert code == 1
    assert "nothing is left to do" in output
    assert len(keys(storage, "failures")) == 1
    code, output = run(study, storage, "--retry-failed")
    assert code == 1
    assert len(keys(storage, "failures")) == 2


def test_a_gpu_that_is_not_there_is_refused_instead_of_waited_for(study: Path, tmp_path: Path):
    greedy = study.with_name("greedy.yaml")
    greedy.write_text(study.read_text() + "resources: {gpus: 64}\n")
    code, output = run(greedy, tmp_path / "runs")
    assert code == 2
    assert "takes 64 GPU; this machine has" in output


def test_a_model_of_ones_own_runs_beside_the_others(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "my_models.py").write_text(
        """
from torch import nn
from siconvnet import register_model

def tiny(*, in_channels, num_classes, **options):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64 * 64, num_classes))

register_model("tiny", tiny, version=3)
"""
    )
    study, storage = tmp_path / "mine.yaml", tmp_path / "runs"
    study.write_text(
        f"""
name: mine
imports: [my_models]
axes: {{model: tiny, dataset: {bars}, scenario: 2, kernel_size: 3, interpolation: null,
        lr: 3e-3, seed: 1}}
recipe: {{max_epochs: 1}}
"""
    )
    monkeypatch.chdir(tmp_path)
    code, output = run(study, storage)
    assert code == 0, output
    (record,) = records(storage).values()
    assert (record.point.model, record.model_version) == ("tiny", 3)
