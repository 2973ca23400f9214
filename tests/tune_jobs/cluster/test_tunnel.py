"""The tunnel to a head: open inside, open again when it is cut off, gone outside.

A script of the name ``ray`` stands in for ``ray dashboard``: like it, it starts another program,
which listens.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.processes import WAIT_SECONDS
from tune_jobs.cluster import tunnel
from tune_jobs.cluster.tunnel import Tunnel, is_open
from tune_jobs.errors import TuneJobsError

LISTENS = """
import os, socket, sys, time
if os.fork():
    os.wait()
else:
    with open(__file__ + ".pids", "a") as file:
        print(os.getpid(), file=file)
    listening = socket.create_server(("127.0.0.1", int(sys.argv[3])))
    time.sleep(300)
    open(__file__ + ".ended", "w").close()
"""
REFUSED = """
import sys
print("ssh: connect to host 203.0.113.7 port 22:\\n  Connection refused")
sys.exit(255)
"""
SILENT = "import time; time.sleep(120)"
Ray = Callable[[str], Path]


@pytest.fixture
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ray:
    """Have the program ``ray`` beside this Python do as a script says; returns where it is."""

    python = sys.executable

    def write(script: str) -> Path:
        path = tmp_path / "ray"
        path.write_text(f"#!{python} -IS\n{script}")
        path.chmod(0o755)
        return path

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(tunnel, "PORT", port)
    monkeypatch.setattr(tunnel, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(tunnel.sys, "executable", str(tmp_path / "python"))
    return write


def pids(program: Path) -> list[int]:
    return [int(line) for line in Path(f"{program}.pids").read_text().split()]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_tunnel_is_open_inside_and_gone_with_all_its_processes_outside(ray: Ray):
    program = ray(LISTENS)
    with Tunnel(Path("cluster.yaml")):
        assert is_open()
    wait_for(lambda: not is_open())
    assert not Path(f"{program}.ended").exists()  # it did not listen to its own end


def test_a_tunnel_that_is_cut_off_is_opened_again(ray: Ray):
    program = ray(LISTENS)
    with Tunnel(Path("cluster.yaml")):
        (first,) = pids(program)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: len(pids(program)) == 2)
        wait_for(is_open)
    wait_for(lambda: not is_open())


def test_a_head_that_cannot_be_reached_is_said_in_the_words_of_ssh_on_one_line(ray: Ray):
    ray(REFUSED)
    with pytest.raises(TuneJobsError) as error, Tunnel(Path("mine.yaml")):
        pass
    assert str(error.value).startswith(
        "The head of mine.yaml must be reached by SSH; `ray dashboard` says: "
        "ssh: connect to host 203.0.113.7 port 22: Connection refused. Has `ray up mine.yaml` "
    )


def test_a_head_that_never_answers_is_given_up_and_nothing_goes_on_trying(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tunnel, "OPEN_SECONDS", 1.0)
    ray(SILENT)
    way = Tunnel(Path("mine.yaml"))
    with pytest.raises(TuneJobsError, match="`ray dashboard` says: nothing"), way:
        pass
    assert way._process is not None
    assert way._process.poll() is not None
    assert not way._thread.is_alive()
