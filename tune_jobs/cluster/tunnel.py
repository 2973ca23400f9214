"""A tunnel to the dashboard of a cluster's head, by SSH, for as long as a command needs it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tune_jobs.errors import TuneJobsError

HOST, PORT = "127.0.0.1", 8265
AGAIN_SECONDS = 5.0  # between the end of one tunnel and the next, while the head is away
OPEN_SECONDS = 60.0
LAST_CHARACTERS = 300


class Tunnel:
    """Brings the dashboard of a cluster file's head to 127.0.0.1:8265, again when it is cut off."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._said = ""
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        """Returns when something answers; TuneJobsError if the head cannot be reached."""
        self._thread.start()
        deadline = time.monotonic() + OPEN_SECONDS
        while not is_open():
            if self._said or time.monotonic() > deadline:
                said = self._said or "nothing"  # before it is ended, which it would tell of
                self._end()
                raise TuneJobsError(
                    f"The head of {self._file} must be reached by SSH; `ray dashboard` says: "
                    f"{said}. Has `ray up {self._file}` started it, and may "
                    "this machine's address come in?"
                )
            time.sleep(0.2)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._over.set()
        if self._process:
            _signal_group(self._process, signal.SIGTERM)
        self._thread.join()

    def _keep(self) -> None:
        beside = Path(sys.executable).with_name("ray")
        ray = str(beside) if beside.exists() else shutil.which("ray") or "ray"
        command = [ray, "dashboard", "--port", str(PORT), str(self._file)]
        while not self._over.is_set():
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if self._over.is_set():  # set just before there was a process to end
                _signal_group(self._process, signal.SIGTERM)
            output, _ = self._process.communicate()
            if self._process.returncode:
                text = " ".join(output.decode(errors="replace").split())
                self._said = text[-LAST_CHARACTERS:] or f"exit status {self._process.returncode}"
            self._over.wait(AGAIN_SECONDS)


def is_open() -> bool:
    """Whether something listens where a tunnel brings the dashboard."""
    try:
        socket.create_connection((HOST, PORT), 1.0).close()
    except OSError:
        return False
    return True


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and its children."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
