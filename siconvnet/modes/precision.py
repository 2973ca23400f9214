"""Full precision for arithmetic that a choice depends on."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
Result = TypeVar("Result")


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Multiply in the tensors' own precision: no TF32, no bfloat16, no autocast.

    A relative error of 1e-3 would pick other winners than the plain formulation does. The caller's
    settings are restored.
    """
    cuda, cudnn, mkldnn = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn
    # pyright cannot see attributes that torch adds at run time.
    backends: tuple[Any, ...] = (
        cuda.matmul,
        cudnn.conv,  # pyright: ignore[reportAttributeAccessIssue]
        mkldnn.matmul,  # pyright: ignore[reportAttributeAccessIssue]
        mkldnn.conv,  # pyright: ignore[reportAttributeAccessIssue]
    )
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        with without_autocast(device.type):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def without_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Autocast switched off; devices such as ``meta`` know none, and refuse to switch it off."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def above_autocast(function: Callable[P, Result]) -> Callable[P, Result]:
    """Let ``function`` know nothing of autocast: off inside, half-precision tensors made float32.

    For what is searched in one place and computed again in another, both in the same numbers.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Result:
        device = next(arg.device.type for arg in args if isinstance(arg, Tensor))
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return function(*args, **kwargs)
        whole: Any = [in_float32(arg) if isinstance(arg, Tensor) else arg for arg in args]
        with without_autocast(device):
            return function(*whole, **kwargs)

    return run


def in_float32(x: Tensor) -> Tensor:
    """The tensor, converted if it is in half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
