"""Commands in processes of their own, what they have started, and their certain end."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

WAIT_SECONDS = 300.0  # for anything; what Ray starts is nice, and starves on a busy machine
Popen = subprocess.Popen[str] | subprocess.Popen[bytes]


@contextlib.contextmanager
def started(
    command: Sequence[str | Path], variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A command whose output is a pipe of text, with ``variables`` in its environment besides.

    At the end of the block it is killed, with all that it has started.
    """
    with subprocess.Popen(
        command,
        env=os.environ | (variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            kill(process)


def kill(process: Popen) -> None:
    """End a process at once, and all that it has started; it may have ended before."""
    family = descendants(process.pid) if process.poll() is None else []
    process.kill()
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def wait_for(condition: Callable[[], object], process: Popen) -> None:
    """Returns when the condition holds; RuntimeError if the process ends or WAIT_SECONDS do."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            kill(process)
            said, _ = process.communicate()
            raise RuntimeError(
                f"It must happen within {WAIT_SECONDS:.0f} s and while the process runs; it did "
                f"not. The process said:\n{said}"
            )
        time.sleep(0.05)


def descendants(pid: int) -> list[psutil.Process]:
    """The processes that a process has started, and those that these have; none if it has ended."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def command_of(process: psutil.Process) -> Sequence[str]:
    """The words of a process's command line; none if it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return ()


def trials_of(driver: Popen) -> list[psutil.Process]:
    """The processes that train for a driver."""
    found = descendants(driver.pid)
    return [one for one in found if "ImplicitFunc" in " ".join(command_of(one))]


def left_of(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended by themselves after WAIT_SECONDS."""
    _, alive = psutil.wait_procs(processes, timeout=WAIT_SECONDS)
    return [one for one in alive if not _is_ended(one)]


def _is_ended(process: psutil.Process) -> bool:
    """Also a process that nobody has asked for its exit status yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
