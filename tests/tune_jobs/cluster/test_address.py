"""A study on a Ray cluster that is there already."""

import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from lab.hold import Hold
from lab.processes import started, wait_for
from lab.records import keys
from tune_jobs.cli import main
from tune_jobs.records.keys import point_id_of
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

pytestmark = pytest.mark.ray

CPUS, SLOTS = 4, 2
EXPERIMENT_TRIALS = 2
# The command, with experiments so small that a study takes several.
RUN = f"""
import sys
from tune_jobs import cli
from tune_jobs.driver import runner
runner.EXPERIMENT_TRIALS = {EXPERIMENT_TRIALS}
sys.exit(cli.main())
"""


@pytest.fixture(scope="module", autouse=True)
def token() -> Iterator[None]:
    """What the cluster asks of those who connect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory, hold: Hold) -> Iterator[str]:
    """A cluster of one machine with room for CPUS trials, which may be held."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("r")
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", f"--port={port}", f"--num-cpus={CPUS}"]
    command += ["--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"]
    command += [f"--object-store-memory={80 * 2**20}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def study(bars: Path, tmp_path: Path, hold: Hold) -> Path:
    """Seven points, of which the first can be held."""
    path = tmp_path / "mixed.yaml"
    path.write_text(
        f"""
name: mixed
imports: [held]
axes: {{dataset: {bars}, scenario: 2, interpolation: null, lr: 3e-3, kernel_size: 7, seed: 1}}
groups:
  - {{model: held}}
  - {{model: standard, kernel_size: 3, seed: {{from: 1, to: 6}}}}
recipe: {{max_epochs: 4, batch_size: 4}}
"""
    )
    return path


def test_the_next_experiment_starts_beside_a_long_trial_and_no_more_run_than_asked(
    address: str, study: Path, tmp_path: Path, hold: Hold
):
    storage = tmp_path / "runs"

    def begun() -> set[str | None]:
        return {point_id_of(key) for key in keys(storage, "claims", "records")}

    command = [sys.executable, "-c", RUN, "run", study, "--storage", storage]
    command += ["--address", address, "--max-concurrent", str(SLOTS), "--price", "2"]
    hold.start(batch_seconds=60)
    with started(command) as process:
        wait_for(lambda: len(begun()) > EXPERIMENT_TRIALS, process)  # the second experiment's first
        hold.release()
        said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    assert "study mixed: 7 finished" in said
    found = [TrialRecord.from_json(Storage(storage).read(key)) for key in keys(storage, "records")]
    spans = {
        (record.point.model, record.point.seed): (
            datetime.fromisoformat(record.started_at),
            datetime.fromisoformat(record.finished_at),
        )
        for record in found
    }
    _, slow_end = spans["held", 1]
    assert spans["standard", 2][0] < slow_end  # the first trial of the second experiment
    changes = sorted(change for begin, end in spans.values() for change in ((begin, 1), (end, -1)))
    running, most = 0, 0
    for _, change in changes:
        running += change
        most = max(most, running)
    assert most == SLOTS


def test_an_address_where_no_cluster_answers_is_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    storage = tmp_path / "runs"
    command = ["run", str(study), "--storage", str(storage), "--address", "127.0.0.1:9"]
    assert main(command) == 2
    assert "--address must be of a Ray cluster that runs and whose" in capsys.readouterr().err
    assert not (storage / "datasets").exists()
