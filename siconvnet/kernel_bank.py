"""The kernels of a layer that answers at several scales, each with its own."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class KernelBank:
    """Kernels of one side; ``margins`` says how many rows and columns of zeros surround each."""

    kernels: Tensor  # (S, O, C, K, K)
    bias: Tensor | None  # (O,), one for all scales
    margins: tuple[int, ...]
    padding: int  # zeros around the images, in pixels


def zero_margins(basis: Tensor) -> tuple[int, ...]:
    """How many rows and columns of zeros surround all functions of a scale, for each scale."""
    side = basis.shape[-1]
    if basis.device.type == "meta":  # no values to read
        return (0,) * basis.shape[1]
    nearest = torch.arange(side, device="cpu")
    nearest = torch.minimum(nearest, nearest.flip(0))
    ring = torch.minimum(nearest[:, None], nearest)
    used = basis.ne(0).any(dim=0).cpu()
    return tuple(int(ring.where(scale, (side - 1) // 2).min()) for scale in used)
