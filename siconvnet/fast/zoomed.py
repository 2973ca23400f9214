"""One kernel shown several sizes of an image: the maps, and the largest answers alone.

The resizing is bilinear, so it is a product with a fixed matrix along each axis, and so is its
gradient. Answers are compared in the very arithmetic of the plain formulation: on a flat background
its ties are broken by the rounding of ``interpolate``, which no other arithmetic repeats.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.modes.precision import above_autocast, full_precision
from siconvnet.modes.transformed import differentiable_once, not_compiled
from siconvnet.resample import kept, sight, zoom, zoom_matrix


def zoomed_answer(x: Tensor, weight: Tensor, bias: Tensor, factor: float) -> Tensor:
    """The kernel's answer to the image resized by ``factor``, in the image's own frame.

    Answers that are cut off when they grow back to the image's size are left out, as zeros.
    """
    side = weight.shape[-1]
    height, width = (size - side + 1 for size in x.shape[2:])
    rows, columns = kept(height, 1 / factor), kept(width, 1 / factor)
    answer = F.conv2d(seen_by(zoom(x, factor), rows, columns, side), weight, bias)
    if answer.shape[2:] != (height, width):
        before, after = (rows.start, columns.start), (height - rows.stop, width - columns.stop)
        answer = F.pad(answer, (before[1], after[1], before[0], after[0]))
    return zoom(answer, 1 / factor)


def seen_by(x: Tensor, rows: slice, columns: slice, side: int) -> Tensor:
    """The part of an image that a kernel needs to answer in these rows and columns."""
    last_row, last_column = rows.stop + side - 1, columns.stop + side - 1
    return x[:, :, rows.start : last_row, columns.start : last_column]


@not_compiled
@above_autocast
def zoomed_response(x: Tensor, weight: Tensor, bias: Tensor, factors: Sequence[float]) -> Tensor:
    """The largest answer over all sizes at each pixel, (N, C, H, W) -> (N, O, I, J)."""
    return _ZoomedResponse.apply(x, weight, bias, tuple(factors))


class _ZoomedResponse(torch.autograd.Function):
    """Remembers which size won at each pixel, and sends each pixel's gradient to that one."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, factors: tuple[float, ...]
    ) -> Tensor:
        best = zoomed_answer(x, weight, bias, factors[0])
        louder = [torch.ones_like(best, dtype=torch.bool)]  # than all sizes before
        for factor in factors[1:]:
            answer = zoomed_answer(x, weight, bias, factor)
            louder.append(answer > best)
            torch.maximum(best, answer, out=best)
        ctx.save_for_backward(x, weight, *louder)
        ctx.factors = factors
        return best

    @staticmethod
    @differentiable_once
    @above_autocast
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, *louder = saved
        x_gradient = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        weight_gradient = torch.zeros_like(weight)
        bias_gradient = weight.new_zeros(len(weight))
        remaining = gradients[0]
        for factor, won in zip(reversed(ctx.factors), reversed(louder), strict=True):
            won_gradient = remaining * won
            remaining = remaining - won_gradient
            sent = zoom_adjoint(won_gradient, 1 / factor)
            rows, columns = (kept(size, 1 / factor) for size in sent.shape[2:])
            framed = zoom(x, factor)
            image, kernel, constant = torch.ops.aten.convolution_backward(
                sent[:, :, rows, columns], seen_by(framed, rows, columns, weight.shape[-1]),
                weight, [len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1,
                [x_gradient is not None, True, True],
            )  # fmt: skip
            weight_gradient += kernel
            bias_gradient += constant
            if x_gradient is not None:
                whole = torch.zeros_like(framed)
                seen_by(whole, rows, columns, weight.shape[-1]).copy_(image)
                x_gradient += zoom_adjoint(whole, factor)
        return x_gradient, weight_gradient, bias_gradient, None


def zoom_adjoint(gradient: Tensor, factor: float) -> Tensor:
    """The gradient of an image, given that of the zoomed one."""
    if factor == 1:
        return gradient
    rows, columns = (
        zoom_matrix(size, factor, gradient.dtype, gradient.device) for size in gradient.shape[2:]
    )
    return rows.T @ (gradient @ columns)


@not_compiled
@above_autocast
def zoomed_peak(x: Tensor, weight: Tensor, bias: Tensor, factors: Sequence[float]) -> Tensor:
    """The largest answers over sizes and pixels, (N, O), differentiable."""
    with torch.no_grad(), full_precision(x.device):
        size, *place = zoomed_winners(x, weight, bias, factors)
        tables = [
            sight(length, weight.shape[-1], tuple(factors), x.dtype, x.device)
            for length in x.shape[2:]
        ]
        rows, columns = (table[0][size, at] for table, at in zip(tables, place, strict=True))
        lit = tables[0][1][size, place[0]] * tables[1][1][size, place[1]]
    seen = torch.einsum("noah,nchw->noacw", rows, x)
    seen = torch.einsum("noacw,nobw->nocab", seen, columns)
    return torch.einsum("nop,op->no", seen.flatten(2), weight.flatten(1)) + lit * bias


def zoomed_winners(
    x: Tensor, weight: Tensor, bias: Tensor, factors: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Number of the size, row and column of the largest answers, each (N, O).

    Of equal answers the first pixel is taken, and of equal ones there the first size.
    """
    best = [zoomed_answer(x, weight, bias, factor).flatten(2).max(dim=2) for factor in factors]
    value = torch.stack([answer.values for answer in best], dim=2)  # N O S
    place = torch.stack([answer.indices for answer in best], dim=2)
    last = torch.iinfo(place.dtype).max
    at, size = place.masked_fill(value < value.amax(dim=2, keepdim=True), last).min(dim=2)
    width = x.shape[3] - weight.shape[3] + 1
    return size, at // width, at % width
