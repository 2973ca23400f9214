"""The instruction sets that the compiled loops are tested with: all that this machine can run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from siconvnet.compiled.library import INSTRUCTION_SETS, TORCH, VARIABLE, usable_instruction_sets


@pytest.fixture(scope="module", params=INSTRUCTION_SETS)
def form(request: pytest.FixtureRequest) -> Iterator[str]:
    """A compiled form that serves while a test runs."""
    if request.param not in usable_instruction_sets():
        pytest.skip(f"no loops for {request.param} on this machine")
    with pinned(f"compiled-{request.param}") as name:
        yield name


@pytest.fixture(scope="module", params=(*INSTRUCTION_SETS, TORCH))
def any_form(request: pytest.FixtureRequest) -> Iterator[str]:
    """A compiled form or that of PyTorch, which serves while a test runs."""
    if request.param not in (*usable_instruction_sets(), TORCH):
        pytest.skip(f"no loops for {request.param} on this machine")
    with pinned(TORCH if request.param == TORCH else f"compiled-{request.param}") as name:
        yield name


@contextmanager
def pinned(form: str) -> Iterator[str]:
    """Let one form of the layers serve."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = form
    yield form
    os.environ.pop(VARIABLE)
    if before is not None:
        os.environ[VARIABLE] = before
