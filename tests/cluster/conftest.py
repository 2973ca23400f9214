"""Tests on several machines of this one."""

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HELD = Path(__file__).with_name("held.py")
collect_ignore = [HELD.name]  # it registers a model, for the machines of a lab


class Hold:
    """Makes trials of the model ``held`` outlast whatever a test waits for, then lets them go.

    The file is in a lab's folder, which all of its machines see; ``variables`` must be among the
    lab's. A held trial of 40 epochs of 16 batches takes more than ten minutes of sleep, so that no
    test depends on how fast a machine is.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "hold"
        self.variables: Mapping[str, str] = {"LAB_HOLD": str(self._file)}

    def start(self, home: Path) -> None:
        """Hold trials from now on; the model lies in a home folder, for a study there to import."""
        shutil.copy(HELD, home)
        self._file.touch()

    def release(self) -> None:
        self._file.unlink()


@pytest.fixture(scope="session")
def hold_in() -> Callable[[Path], Hold]:
    """What makes a Hold for the lab in a folder."""
    return Hold


@pytest.fixture(scope="session")
def tell() -> Callable[[str], None]:
    """Print a line with the seconds since the first one; `make test-cluster` shows them."""
    began = time.monotonic()

    def tell(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
        sys.stdout.flush()

    return tell
