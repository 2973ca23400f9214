"""Enlarge square kernels, and zoom images in their frame: the sizes and the matrices for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.modes.constants import constant
from siconvnet.modes.precision import full_precision

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area")


def kernel_sides(kernel_size: int, num_scales: int) -> tuple[int, ...]:
    """Side in pixels of each copy of a kernel, smallest first.

    >>> kernel_sides(7, 4)
    (7, 9, 11, 13)
    """
    return tuple(kernel_size + 2 * scale for scale in range(num_scales))


def max_num_scales(height: int, width: int, kernel_size: int) -> int:
    """How many copies of a kernel still fit into an image; 0 if not even the smallest does.

    >>> max_num_scales(64, 64, 7)
    29
    """
    return max(0, (min(height, width) - kernel_size) // 2 + 1)


def check_interpolation(interpolation: str) -> None:
    """Refuse an interpolation that no resize matrix is known for."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}; got {interpolation!r}."
        )


def check_square(kernel_size: object) -> None:
    """Refuse the size of a kernel that is not one whole number."""
    if not isinstance(kernel_size, Integral):
        first = next(iter(kernel_size), None) if isinstance(kernel_size, Iterable) else None
        hint = f", try {first}" if isinstance(first, Integral) else ""
        raise ValueError(
            "kernel_size must be one whole number, as kernels are square; "
            f"got {kernel_size!r:.60}{hint}."
        )


def check_kernel_size(kernel_size: int) -> None:
    """Refuse a kernel that has no centre pixel, or more than one size."""
    check_square(kernel_size)
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            "kernel_size must be odd and positive, so that the kernel has a centre pixel; "
            f"got {kernel_size}, try {max(1, kernel_size + 1)}."
        )


def resize_matrix(
    kernel_size: int,
    side: int,
    interpolation: str,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The matrix A for which ``A @ kernel @ A.T`` is a square kernel resized to ``side``.

    Rows sum to 1: the factor ``(kernel_size / side) ** 2`` that keeps a grown kernel's answers as
    loud as the small one's is *not* in it. The answer is cached and shared; do not write into it.

    Shape:   (side, kernel_size).
    Source:  ``nearest``, ``bilinear`` and ``bicubic`` are those of
             ``torch.nn.functional.interpolate(..., align_corners=False)``; ``area`` is the exact
             average over the source cells that a target cell covers.

    >>> resize_matrix(1, 3, "area").tolist()
    [[1.0], [1.0], [1.0]]
    """
    check_interpolation(interpolation)
    if side < kernel_size:
        raise ValueError(
            f"A kernel can only grow; got side {side} for a kernel of {kernel_size}, "
            f"{kernel_size} or more would do."
        )
    return _resize_matrix(kernel_size, side, interpolation, dtype, torch.device(device))


@constant
def _resize_matrix(
    kernel_size: int, side: int, interpolation: str, dtype: torch.dtype, device: torch.device
) -> Tensor:
    if interpolation == "area":
        matrix = _area_matrix(kernel_size, side).to(dtype)
    else:
        # In the caller's dtype: nearest depends on the precision that positions have.
        impulses = torch.eye(kernel_size, dtype=dtype)[None, :, :, None]
        grown = F.interpolate(impulses, size=(side, 1), mode=interpolation)
        matrix = grown[0, :, :, 0].T.contiguous()
    return matrix.to(device)


def _area_matrix(kernel_size: int, side: int) -> Tensor:
    """Share of each source cell in each target cell, both tilings of the same length."""
    # Lengths in units of 1 / side of a source cell, so that they are integers.
    start = torch.arange(side)[:, None] * kernel_size
    source_start = torch.arange(kernel_size)[None, :] * side
    overlap = torch.minimum(start + kernel_size, source_start + side) - torch.maximum(
        start, source_start
    )
    return overlap.clamp(min=0).double() / kernel_size


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """What kernel sizes a ``SiConv2d`` has, and how it enlarges and pads."""

    kernel_size: int
    num_scales: int
    interpolation: str
    padding: bool

    @property
    def sides(self) -> tuple[int, ...]:
        """Side of each kernel in pixels, smallest first."""
        return kernel_sides(self.kernel_size, self.num_scales)

    def border(self, scale: int) -> int:
        """Width in pixels of the zeros around the answer of a scale."""
        return 0 if self.padding else scale

    def answer_side(self, image_side: int) -> int:
        """How long an axis of the answer is."""
        return image_side if self.padding else image_side - self.kernel_size + 1

    def inner_sides(self, image_side: int) -> list[int]:
        """How long an axis of each scale's answer is without its border."""
        whole = self.answer_side(image_side)
        return [whole - 2 * self.border(scale) for scale in range(self.num_scales)]


def zoom(x: Tensor, factor: float) -> Tensor:
    """Resize images by ``factor`` (bilinear, corners aligned), then centre them in their old frame.

    Shape: (N, C, H, W) -> the same; zeros around what shrank, and what grew out of it cut off.
    """
    if factor == 1:
        return x
    resized = bilinear(x, None, (factor, factor), align_corners=True)
    top, bottom = frame(x.shape[2], resized.shape[2])
    left, right = frame(x.shape[3], resized.shape[3])
    if min(top, left, bottom, right) >= 0:
        return F.pad(resized, (left, right, top, bottom))
    return resized[:, :, -top : -top + x.shape[2], -left : -left + x.shape[3]]


def bilinear(
    x: Tensor,
    size: tuple[int, int] | None,
    factors: tuple[float, float] | None = None,
    *,
    align_corners: bool,
) -> Tensor:
    """``F.interpolate`` by bilinear interpolation, as the one operator that it usually is.

    Where PyTorch is asked for deterministic algorithms, ``F.interpolate`` takes a GPU through
    dozens of operators for the sake of its gradient, which is seldom needed here.
    """
    if x.requires_grad and torch.is_grad_enabled():
        how: dict[str, Any] = {"mode": "bilinear", "align_corners": align_corners}
        return F.interpolate(x, size, factors, **how)
    return torch.ops.aten.upsample_bilinear2d.vec(x, size, align_corners, factors)


def shrunk(x: Tensor, side: int) -> Tensor:
    """Images with ``side`` pixels along each axis (bilinear, corners aligned), (..., side, side).

    Elsewhere than on a CPU by a product, which passes its gradient back in a fixed order, and takes
    a GPU a fraction of the time where there are few pixels and many channels.
    """
    if x.device.type == "cpu":
        return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=True)
    height, width = x.shape[-2:]
    matrix = shrink_matrix(height, width, side, x.dtype, x.device)
    with full_precision(x.device):
        return (x.flatten(-2) @ matrix).unflatten(-1, (side, side))


@constant
def shrink_matrix(
    height: int, width: int, side: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """What takes the pixels of an image to those of ``shrunk``, (height width, side side)."""
    impulses = torch.eye(height * width, dtype=dtype).view(-1, 1, height, width)
    small = F.interpolate(impulses, size=(side, side), mode="bilinear", align_corners=True)
    return small.view(height * width, -1).to(device)


def frame(size: int, resized: int) -> tuple[int, int]:
    """Rows to add before and after (cut off if negative), the smaller number before."""
    before = (size - resized) // 2
    return before, size - resized - before


@constant
def zoom_matrix(size: int, factor: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix Z for which ``Z @ image @ Z.T`` is ``zoom`` of a square image, (size, size).

    Cached and shared; do not write into it.
    """
    impulses = torch.eye(size, dtype=dtype)[None, :, :, None]
    if factor != 1:
        impulses = F.interpolate(
            impulses, scale_factor=(factor, 1.0), mode="bilinear", align_corners=True
        )
    return F.pad(impulses[0, :, :, 0], frame(size, impulses.shape[2])).T.contiguous().to(device)


@constant
def kept(size: int, factor: float) -> slice:
    """The pixels along an axis that ``zoom`` does not cut off."""
    used = zoom_matrix(size, factor, torch.float64, torch.device("cpu")).any(dim=0).nonzero()
    return slice(int(used[0]), int(used[-1]) + 1)


@constant
def sight(
    size: int, side: int, factors: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """How each answer along an axis is made of the image's pixels, for each size of the image.

    The first matrix, (S, I, k, H), says what an answer sees at each pixel of the kernel; the
    second, (S, I), how much of the bias it has: none in the frame around what shrank.
    """
    answers = size - side + 1
    seen, lit = [], []
    for factor in factors:
        windows = zoom_matrix(size, factor, dtype, device).unfold(0, side, 1)  # I H k
        back = zoom_matrix(answers, 1 / factor, dtype, device)
        seen.append(torch.einsum("ip,phk->ikh", back, windows))
        lit.append(back.sum(dim=1))
    return torch.stack(seen), torch.stack(lit)
