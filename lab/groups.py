"""Scales and frequencies in as many groups as a test or a benchmark wants, on any device."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch

from siconvnet.fast import grouping


@contextlib.contextmanager
def in_groups(groups: int | None) -> Iterator[None]:
    """Cut whatever is computed in groups into about so many; None: each thing by itself."""

    def at_once(count: int, elements: int, device: torch.device) -> int:
        return -(-count // min(groups or count, count))

    with mock.patch.object(grouping, "at_once", at_once):
        yield
