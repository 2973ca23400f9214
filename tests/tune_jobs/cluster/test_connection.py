"""A Ray of one's own: what it opens and uploads, and its end when a process of it dies."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.processes import (
    WAIT_SECONDS,
    command_of,
    descendants,
    kill,
    left_of,
    started,
    wait_for,
)
from lab.records import keys

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[3]
# Says what a Ray that was started as a run starts it is like, and waits to be ended.
LOOK = """
import json, sys, psutil, ray
from pathlib import Path
from tune_jobs.cluster.connection import ray_session
from tune_jobs.cluster.scratch import scratch_folder
with scratch_folder() as folder, ray_session(folder / "ray", cpus=1):
    me = psutil.Process()
    listening = [
        connection.laddr.ip
        for process in [me, *me.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == "LISTEN"
    ]
    environment = dict(ray.get_runtime_context().runtime_env)
    found = {"listening": listening, "environment": environment, "parent": me.parent().cmdline()}
    Path(sys.argv[1]).write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A Ray under ``uv run``, from a folder with 600 MB beside, of a user without a token."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "project" / "notebooks"
    folder.mkdir(parents=True)
    with (folder / "images.bin").open("wb") as file:
        file.truncate(600 * 10**6)
    (home / "project" / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n")
    (folder / "run").write_text(f"'{sys.executable}' -c '{LOOK}' '{home}/found.json'\nexit $?\n")
    variables = {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("RAY_")}
    subprocess.run(
        ["bash", "-c", "umask 022; exec -a uv bash run"],
        cwd=folder,
        env=environment | variables,
        check=True,
        timeout=120,
    )
    token = home / ".ray" / "auth_token"
    mode = token.stat().st_mode & 0o777
    return json.loads((home / "found.json").read_text()) | {"mode": mode}


def test_under_uv_run_no_folder_is_uploaded(look: dict[str, Any]):
    assert look["parent"] == ["uv", "run"]
    assert look["environment"] == {}


def test_every_port_is_on_a_loopback_address(look: dict[str, Any]):
    assert len(look["listening"]) >= 4
    assert {ip.removeprefix("::ffff:") for ip in look["listening"]} <= {"127.0.0.1", "::1"}


def test_the_token_that_ray_makes_is_for_its_owner_only(look: dict[str, Any]):
    assert look["mode"] == 0o600


@pytest.fixture
def running(bars: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of a trial."""
    study, storage = tmp_path / "long.yaml", tmp_path / "runs"
    study.write_text(
        f"""
name: long
axes: {{model: standard, dataset: {bars}, scenario: 2, kernel_size: 7, interpolation: null,
        lr: 3e-3, seed: 1}}
recipe: {{max_epochs: 5000, patience: 5000, batch_size: 4}}
"""
    )
    command = [sys.executable, "-m", "tune_jobs", "run", study, "--storage", storage]
    command += ["--max-concurrent", "1", "--checkpoint-seconds", "0.5"]
    with started(command) as process:
        wait_for(lambda: keys(storage, "checkpoints"), process)
        yield process


# What a driver does beside its trials.
WAIT = """
import sys, time
from tune_jobs.cluster.connection import RayLostError, ray_session
from tune_jobs.cluster.scratch import scratch_folder
try:
    with scratch_folder() as folder, ray_session(folder / "ray", cpus=1) as check:
        print("ready", flush=True)
        while True:
            check()
            time.sleep(0.1)
except RayLostError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def idle() -> Iterator[subprocess.Popen[str]]:
    """A Ray that runs nothing."""
    with started([sys.executable, "-c", WAIT]) as process:
        assert process.stdout is not None
        too_late = threading.Timer(WAIT_SECONDS, kill, [process])
        too_late.start()
        try:
            assert any(line == "ready\n" for line in iter(process.stdout.readline, ""))
        finally:
            too_late.cancel()
        yield process


def end_and_look(process: subprocess.Popen[str], name: str) -> str:
    """Kill a process of a driver's Ray; returns what the driver then says."""
    family = descendants(process.pid)
    commands = " ".join(word for child in family for word in command_of(child))
    scratch = {Path("/tmp", part.split("/")[0]) for part in commands.split("/tmp/")[1:]}
    scratch = {path for path in scratch if path.name.startswith("tune-jobs-")}
    assert len(scratch) == 1
    (found,) = [child for child in family if Path(*command_of(child)[:1]).name == name]
    found.kill()
    said, _ = process.communicate(timeout=50)  # Ray itself notices after a minute
    assert left_of(family) == []
    assert not scratch.pop().exists()
    return said


def test_a_run_whose_raylet_dies_ends_in_a_sentence_and_leaves_nothing(
    running: subprocess.Popen[str],
):
    said = end_and_look(running, "raylet")
    assert running.returncode == 2, said
    assert "Ray's processes must stay alive; its raylet on this machine was ended." in said
    assert "Traceback" not in said


def test_a_ray_that_loses_its_control_store_is_ended_too(idle: subprocess.Popen[str]):
    said = end_and_look(idle, "gcs_server")
    assert "its gcs_server on this machine was ended. The same command goes on" in said
