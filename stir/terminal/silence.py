"""A command that has shown nothing for a while says what it is doing."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

FIRST_SECONDS = 5.0  # of silence, before a line, unless $STIR_SILENCE_SECONDS gives others
LONGEST_SECONDS = 60.0  # within a step each line waits twice as long as the one before, up to this
LOOK_SECONDS = 0.25

_steps: list[str] = []  # what the command is doing, the innermost last


@contextmanager
def step(doing: str) -> Iterator[None]:
    """Name what is done inside, as ``reading records``, in case it takes long."""
    _steps.append(doing)
    try:
        yield
    finally:
        _steps.remove(doing)


class Silence:
    """How long nothing was shown, and the line that is due then."""

    def __init__(self, command: str, began: float, patience: float = FIRST_SECONDS) -> None:
        self._command, self._began, self._first = command, began, patience
        self._doing, self._patience = "", patience
        self.heard(began)

    def heard(self, now: float) -> None:
        """Something was shown."""
        self._last = now

    def line(self, now: float) -> str:
        """What to say now; nothing, unless the silence has lasted too long."""
        doing = _steps[-1] if _steps else "working"
        if doing != self._doing:
            self._doing, self._patience = doing, self._first
        if now - self._last < self._patience:
            return ""
        self._last, self._patience = now, min(2 * self._patience, LONGEST_SECONDS)
        return f"{self._command}: still {doing}, {now - self._began:.0f} s since the start"


@contextmanager
def never_silent(command: str) -> Iterator[None]:
    """Say on standard error, after some seconds without any output, what is being done."""
    patience = float(os.environ.get("STIR_SILENCE_SECONDS") or FIRST_SECONDS)
    silence, over = Silence(command, time.monotonic(), patience), threading.Event()
    streams = sys.stdout, sys.stderr

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if line := silence.line(time.monotonic()):
                streams[1].write(f"{line}\n")
                streams[1].flush()

    heard: list[Any] = [_Heard(stream, silence) for stream in streams]
    sys.stdout, sys.stderr = heard
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        if [sys.stdout, sys.stderr] == heard:
            sys.stdout, sys.stderr = streams


class _Heard:
    """A stream that lets a silence know when something is written."""

    def __init__(self, stream: TextIO, silence: Silence) -> None:
        self._stream, self._silence = stream, silence

    def write(self, text: str) -> int:
        self._silence.heard(time.monotonic())
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
