"""The instruction sets that the compiled loops are tested with: all that this machine can run."""

import os
from collections.abc import Iterator

import pytest

from siconvnet.compiled.library import INSTRUCTION_SETS, VARIABLE, usable_instruction_sets


@pytest.fixture(scope="module", params=INSTRUCTION_SETS)
def form(request: pytest.FixtureRequest) -> Iterator[str]:
    """A compiled form that serves while a test runs."""
    if request.param not in usable_instruction_sets():
        pytest.skip(f"no loops for {request.param} on this machine")
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = f"compiled-{request.param}"
    yield os.environ[VARIABLE]
    os.environ.pop(VARIABLE)
    if before is not None:
        os.environ[VARIABLE] = before
