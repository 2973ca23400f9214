"""The largest answers of a convolution, without the gradient of all the others.

Where a network keeps only the largest answer of each image and channel, the gradient reaches one
place of each. So the winners are searched without autograd, and then just those are computed again
from the window of the input that each one sees.
"""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.fast.precision import full_precision

CONVOLUTIONS = {2: F.conv2d, 3: F.conv3d}


def conv_peak(x: Tensor, weight: Tensor, bias: Tensor, *, padding: int = 0) -> Tensor:
    """The largest answers of a convolution over two or three axes, differentiable.

    Shape: x (N, C, ...), weight (O, C, ...), bias (O,) -> (N, O).
    """
    axes = weight.ndim - 2
    with torch.no_grad(), full_precision(x.device):
        answers = CONVOLUTIONS[axes](x, weight, bias, padding=padding)
        best = answers.flatten(2).max(dim=2).indices
    framed = F.pad(x, (padding,) * (2 * axes)) if padding else x
    seen = windows(framed, unravel(best, answers.shape[2:]), weight.shape[2:])
    return torch.einsum("nop,op->no", seen, weight.flatten(1)) + bias


def unravel(flat: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Turn places counted along the flattened axes of ``shape`` into one place an axis."""
    places = []
    for size in reversed(shape):
        places.append(flat % size)
        flat = flat // size
    return tuple(reversed(places))


def windows(x: Tensor, corners: Sequence[Tensor], sides: Sequence[int]) -> Tensor:
    """The part of ``x`` that each winner sees, all channels and pixels in one row.

    ``corners`` holds the first pixel of each window, (N, O), one tensor for each of the trailing
    axes of ``x`` (N, C, ...); the answer is (N, O, C * pixels).
    """
    strides = [math.prod(x.shape[axis + 1 :]) for axis in range(2, x.ndim)]
    base = sum(corner * stride for corner, stride in zip(corners, strides, strict=True))
    assert isinstance(base, Tensor)
    pixels = window_pixels(tuple(x.shape[1:]), tuple(sides), x.device)
    seen = x.flatten(1).gather(1, (base[:, :, None] + pixels).flatten(1))
    return seen.view(*base.shape, len(pixels))


@functools.lru_cache(maxsize=64)
def window_pixels(shape: tuple[int, ...], sides: tuple[int, ...], device: torch.device) -> Tensor:
    """Where the first window's pixels lie in a flattened image of ``shape`` (C, ...)."""
    with torch.inference_mode(False):
        axes = [torch.arange(side, device=device) for side in (shape[0], *sides)]
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        grids = torch.meshgrid(*axes, indexing="ij")
        return sum(
            (grid * stride for grid, stride in zip(grids, strides, strict=True)),
            start=torch.zeros((), dtype=torch.int64, device=device),
        ).flatten()
