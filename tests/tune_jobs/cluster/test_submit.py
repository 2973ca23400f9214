"""Studies sent to a real Ray with a dashboard, on this machine; their storage is SeaweedFS."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from lab.examples import install_examples
from lab.hold import Hold
from lab.processes import WAIT_SECONDS, command_of, descendants
from lab.records import keys
from lab.s3_server import CREDENTIALS, S3Server, free_ports
from tune_jobs.cli import main
from tune_jobs.cluster.scratch import scratch_folder
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

pytestmark = pytest.mark.ray

TOKEN = "0" * 64
BIN = Path(sys.executable).parent
MODULE = """
import siconvnet, lab_parts
siconvnet.register_model("mine", lab_parts.build, version=1)
"""
PARTS = """
from held import Held

def build(*, in_channels, num_classes, **options):
    return Held(in_channels, num_classes)
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray with a dashboard at an address; ``hold`` holds the trials on it."""

    address: str
    process: subprocess.Popen[bytes]
    hold: Hold

    def driver(self) -> psutil.Process:
        """The process that runs the study on the cluster."""
        commands = {child: command_of(child) for child in descendants(self.process.pid)}
        (found,) = [
            child
            for child, command in commands.items()
            if "tune_jobs run ./mine.yaml" in " ".join(command) and "sh" not in command[0]
        ]
        return found


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Ray whose machine has keys for the storage, and that wants TOKEN."""
    hold = Hold(tmp_path_factory.mktemp("hold") / "hold")
    ports = free_ports(4)
    names = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "PATH": f"{BIN}:/usr/bin:/bin"}
    with scratch_folder() as folder, (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(
                    BIN / "ray",
                    "start",
                    "--head",
                    "--block",
                    "--num-cpus=1",
                    f"--temp-dir={folder}",
                ),
                *(f"--{name}={port}" for name, port in zip(names, ports, strict=True)),
                *("--object-store-memory=100000000", "--disable-usage-stats"),
            ],
            env=os.environ | CREDENTIALS | variables | hold.variables,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while "status 401" not in _status(ports[1]):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
            yield Cluster(f"http://127.0.0.1:{ports[1]}", process, hold)
        finally:
            family = descendants(process.pid)
            process.terminate()
            process.wait(30)
            for left in psutil.wait_procs(family, timeout=10)[1]:
                left.kill()


def _status(port: int) -> str:
    """What the dashboard answers to somebody without a token."""
    line = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request("GET", "/api/version")
        return f"status {line.getresponse().status}"
    except OSError as error:
        return str(error)
    finally:
        line.close()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster; what is held in a test is released after it."""
    yield shared_cluster
    shared_cluster.hold.release()


@pytest.fixture
def user(tmp_path: Path, bars: Path) -> Path:
    """A user's folder: a dataset, and the modules that their model is made of."""
    home = tmp_path / "home"
    home.mkdir()
    Hold.bring_model(home)
    (home / "lab_models.py").write_text(MODULE)
    (home / "lab_parts.py").write_text(PARTS)
    (home / "data").mkdir()
    (home / "data" / "bars.npz").write_bytes(bars.read_bytes())
    return home


def write_study(home: Path, *, seeds: str, epochs: int) -> None:
    (home / "mine.yaml").write_text(
        f"""
name: mine
imports: [lab_models]
axes: {{model: mine, dataset: data/bars.npz, scenario: 2, kernel_size: 5, interpolation: null,
        lr: 1e-3, seed: {seeds}}}
recipe: {{max_epochs: {epochs}, patience: {epochs}, batch_size: 4}}
"""
    )


@pytest.fixture
def variables(user: Path) -> dict[str, str]:
    return os.environ | CREDENTIALS | {"RAY_AUTH_TOKEN": TOKEN, "HOME": str(user)}


@pytest.fixture
def uri(s3_server: S3Server, tmp_path: Path) -> str:
    where = f"endpoint_override={s3_server.endpoint}&scheme=http"
    return f"s3://{s3_server.bucket}/{tmp_path.name}?{where}"


class Command:
    """``tune-jobs`` in a process of its own, as a user starts it."""

    def __init__(self, *words: str, home: Path, variables: dict[str, str]) -> None:
        self._log = home / f"log-{time.monotonic_ns()}"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [BIN / "tune-jobs", *words],
                cwd=home,
                env=variables,
                stdout=log,
                stderr=log,
                # A shell that runs the tests in the background has them ignore Ctrl-C.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def exit_status(self) -> int:
        return self.process.wait(240)


Start = Callable[..., Command]


@pytest.fixture
def start(user: Path, variables: dict[str, str]) -> Iterator[Start]:
    """Starts a command in the user's folder; it is killed after the test."""
    begun: list[Command] = []

    def start(*words: str, **more: str) -> Command:
        begun.append(Command(*words, home=user, variables=variables | more))
        return begun[-1]

    yield start
    for command in begun:
        command.process.kill()
        command.process.wait()


def test_a_study_travels_with_models_and_data_and_survives_the_loss_of_its_driver(
    cluster: Cluster, user: Path, start: Start, uri: str, s3_keys: None
):
    write_study(user, seeds="[1, 2]", epochs=6)
    cluster.hold.start(batch_seconds=5)
    options = ("--address", cluster.address, "--storage", uri, "--checkpoint-seconds", "0.3")
    submit = start("submit", "mine.yaml", *options)
    submit.wait_for(lambda: keys(uri, "checkpoints"))
    cluster.driver().kill()
    cluster.hold.release()
    assert submit.exit_status() == 0, submit.said
    assert "the driver is lost: it was ended by signal 9; the study is sent again" in submit.said
    assert "study mine: 2 finished" in submit.said
    assert len(keys(uri, "datasets")) == 1
    storage = Storage(uri)
    records = [TrialRecord.from_json(storage.read(key)) for key in keys(uri, "records")]
    assert sorted(record.point.seed for record in records) == [1, 2]
    assert {record.provenance.git_sha for record in records} == {git_sha()}
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in submit.said


def test_ctrl_c_leaves_a_study_running_until_it_is_stopped_with_checkpoints(
    cluster: Cluster, user: Path, start: Start, uri: str, s3_keys: None
):
    write_study(user, seeds="[1]", epochs=40)
    cluster.hold.start()
    options = ("--address", cluster.address, "--storage", uri, "--checkpoint-seconds", "3600")
    submit = start("submit", "mine.yaml", *options)
    submit.wait_for(lambda: keys(uri, "claims"))
    submit.process.send_signal(signal.SIGINT)
    assert submit.exit_status() == 130
    (job,) = re.findall(r"job (mine-\w+) on ", submit.said)
    assert (
        f"{job} goes on; `tune-jobs follow {job} --address {cluster.address}` shows it"
        in submit.said
    )

    again = start("submit", "mine.yaml", *options)
    again.wait_for(lambda: f"job {job} on " in again.said)
    stop = start("stop", job, "--address", cluster.address)
    assert stop.exit_status() == 0, stop.said
    assert again.exit_status() == 130
    assert "stopped; the same command goes on from the checkpoints" in again.said
    assert keys(uri, "claims") == []
    assert len(keys(uri, "checkpoints")) == 1


def test_installed_models_and_datasets_travel_without_being_named_in_imports(
    cluster: Cluster,
    user: Path,
    variables: dict[str, str],
    start: Start,
    uri: str,
    s3_keys: None,
    tmp_path: Path,
):
    path = {"PYTHONPATH": install_examples(tmp_path)["PYTHONPATH"]}
    subprocess.run([BIN / "stir", "build", "letters"], cwd=user, env=variables | path, check=True)
    (user / "mine.yaml").write_text(
        """
name: mine
axes: {model: [log-polar, standard], dataset: letters, scenario: 2, kernel_size: 7,
       interpolation: null, lr: 1e-3, seed: 1}
recipe: {max_epochs: 1}
"""
    )
    options = ("--address", cluster.address, "--storage", uri)
    submit = start("submit", "mine.yaml", *options, **path)
    assert submit.exit_status() == 0, submit.said
    assert "study mine: 2 finished" in submit.said
    storage = Storage(uri)
    records = [TrialRecord.from_json(storage.read(key)) for key in keys(uri, "records")]
    assert {(one.point.model, one.point.dataset) for one in records} == {
        ("log-polar", "letters"),
        ("standard", "letters"),
    }


def git_sha() -> str | None:
    from tune_jobs.trial.provenance import git_state

    return git_state()[0]


@pytest.mark.parametrize("token", ["", "1" * 64])
def test_a_token_that_is_missing_or_wrong_is_one_sentence(
    cluster: Cluster,
    token: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    assert main(["stop", "mine-1", "--address", cluster.address]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "must be given its cluster's token in ~/.ray/auth_token or RAY_AUTH_TOKEN" in said


def test_an_unknown_job_is_one_sentence_that_names_those_there_are(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert main(["follow", "mine-1", "--address", cluster.address]) == 2
    assert "has none called 'mine-1'. Known: " in capsys.readouterr().err
