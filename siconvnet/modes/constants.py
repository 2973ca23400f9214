"""Tensors that follow from a few plain values, made once and kept."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

P = ParamSpec("P")
Made = TypeVar("Made")


def constant(make: Callable[P, Made]) -> Callable[P, Made]:
    """Keep what ``make`` makes of its arguments; it is shared, so do not write into it.

    Whatever surrounds the first call, the tensors are ordinary ones that later calls can train
    with, made on the CPU unless ``make`` names a device: not tensors of an inference mode, of
    another default device, or without values. A compiler makes them part of its graph.
    """

    @functools.lru_cache(maxsize=256)
    @functools.wraps(make)
    def kept(*args: P.args, **kwargs: P.kwargs) -> Made:
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            torch.device("cpu"),
            unset_fake_temporarily(),
        ):
            return make(*args, **kwargs)

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Made:
        return make(*args, **kwargs) if torch.compiler.is_compiling() else kept(*args, **kwargs)

    return made
