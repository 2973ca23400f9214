"""Tests on several machines of this one."""

import sys
import time
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def tell() -> Callable[[str], None]:
    """Print a line with the seconds since the first one; `make test-cluster` shows them."""
    began = time.monotonic()

    def tell(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
        sys.stdout.flush()

    return tell
