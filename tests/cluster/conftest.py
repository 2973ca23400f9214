"""Tests on several machines of this one: minutes long, so they run only when asked for by path."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    here = Path(__file__).parent
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(here in (path, *path.parents) for path in asked) else True


@pytest.fixture(scope="session")
def tell() -> Callable[[str], None]:
    """Print a line with the seconds since the first one; `make test-cluster` shows them."""
    began = time.monotonic()

    def tell(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
        sys.stdout.flush()

    return tell
