"""Full precision for arithmetic that a choice depends on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


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
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
