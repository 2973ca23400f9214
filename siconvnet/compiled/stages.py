"""Two stages by compiled loops: all answers of the first, only the largest of the second.

A network that ends in a global maximum needs the gradient of its first stage only in the windows
that the second one's winners see. So both stages are computed at once; the ReLU'd answers of the
first lie in a stack (scale, row, column, image, channel) and are dropped after the search.
"""

import ctypes
import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.compiled.library import Library, chosen_library, threads
from siconvnet.compiled.peaks import RowPeaks, empty_peaks
from siconvnet.compiled.tables import (
    COLUMNS,
    ROWS,
    AxisTables,
    ImagesStruct,
    ProblemStruct,
    axis_tables,
    filled,
    fold_matrices,
    folded,
    laid_out,
)
from siconvnet.compiled.windows import (
    Corners,
    FirstStageStruct,
    LastKernels,
    window_answers,
    window_gradients,
)
from siconvnet.kernel_bank import KernelBank
from siconvnet.modes.transformed import differentiable_once


@functools.lru_cache(maxsize=64)
def plane_tables(height: int, width: int, side: int, padding: int) -> tuple[AxisTables, AxisTables]:
    """Tables of an ordinary convolution, along rows and columns."""
    with torch.inference_mode(False), torch.no_grad():
        folds = fold_matrices(side, mirrored=True)
        unit = torch.eye(side)
        rows, columns = (
            axis_tables(
                pixels,
                (pixels + padding) | 1,
                [(unit, pixels - side + 1 + 2 * padding)],
                folds,
                shares=shares,
            )
            for pixels, shares in ((height, ROWS), (width, COLUMNS))
        )
        return rows, columns


@dataclass(frozen=True, slots=True)
class Plane:
    """An ordinary convolution for the scan, and the memory that it points to."""

    struct: ProblemStruct
    kept: tuple[Any, ...]


def plane(
    library: Library,
    images: ImagesStruct,
    size: tuple[int, int],
    bank: KernelBank,
    scale: int,
    *,
    exact_black: bool,
) -> Plane:
    """One scale of a bank, without the zeros around its kernels and those that cancel padding.

    With ``exact_black`` it is known which answers see nothing but black.
    """
    margin = bank.margins[scale]
    crop, padding = max(0, margin - bank.padding), max(0, bank.padding - margin)
    kernel = bank.kernels[scale].detach()
    side = kernel.shape[-1] - 2 * margin
    kernel = kernel[..., margin : margin + side, margin : margin + side]
    height, width = (length - 2 * crop for length in size)
    first = crop * (images.row_stride + images.pixel_stride) * 4  # bytes
    cropped = ImagesStruct(
        images.pixels + first,
        *(images.row_stride, images.pixel_stride),
        *(images.count, images.channels, images.channel_stride),
    )
    tables = plane_tables(height, width, side, padding)
    taps = folded(library, kernel, mirrored=True)
    bias = torch.zeros(filled(len(kernel)))
    if bank.bias is not None:
        bias[: len(kernel)] = bank.bias.detach()
    answers = [axis.structs[0].answers for axis in tables]
    black = None
    if exact_black:
        black = torch.empty(*answers, images.count, dtype=torch.int16)
        library.call("black_scales", cropped, height, width, side, 1, int(padding > 0), black)
    border = torch.zeros(1, dtype=torch.int32)
    struct = ProblemStruct(
        cropped,
        1,
        len(bias),
        *answers,
        threads(),
        *(ctypes.addressof(axis.structs) for axis in tables),
        *(tensor.data_ptr() for tensor in (border, taps, bias)),
        None if black is None else black.data_ptr(),
    )
    return Plane(struct, (tables, border, taps, bias, black))


def covers_banks(x: Tensor, first: KernelBank, last: KernelBank) -> bool:
    """Whether kernels have a middle and fit, and pad not at all or to answers of images' size."""
    side = min(x.shape[2:])
    for bank in (first, last):
        kernel_size = bank.kernels.shape[-1]
        same_size = bank.padding == kernel_size // 2
        framed = all(same_size or 0 <= bank.padding <= margin for margin in bank.margins)
        if kernel_size % 2 == 0 or not framed:
            return False
        side += 2 * bank.padding - kernel_size + 1
    return side >= 1 and len(first.margins) == len(last.margins)


def two_stage_peak(x: Tensor, first: KernelBank, last: KernelBank) -> Tensor:
    """The largest answers of ``last`` to the ReLU'd answers of ``first``, (N, O), differentiable.

    Scales of both belong together: each kernel of ``last`` sees one of ``first``.
    """
    peak = _TwoStagePeak.apply(x, first.kernels, first.bias, last.kernels, first, last)
    return peak if last.bias is None else peak + last.bias


class _TwoStagePeak(torch.autograd.Function):
    """Everything at once; the gradient goes to both stages' kernels and the first one's bias."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        first_kernels: Tensor,
        first_bias: Tensor | None,
        last_kernels: Tensor,
        first: KernelBank,
        last: KernelBank,
    ) -> Tensor:
        library = chosen_library()
        assert library is not None
        stack = answer_stack(library, x, first)
        peaks = search_planes(library, stack, last)
        places = peaks.first(library, len(x), last_kernels.shape[1])
        corners = corners_of(places, last.padding)
        window = LastKernels.of_planes(last_kernels.detach(), stack.shape[-1], last.margins)
        values, seen = window_answers(library, stack, window, corners)
        ctx.save_for_backward(x, last_kernels, *corners, seen)
        ctx.library, ctx.banks, ctx.stack_shape = library, (first, last), stack.shape
        ctx.window = window
        return values

    @staticmethod
    @differentiable_once
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, last_kernels, scale, row, column, seen = saved
        first, last = ctx.banks
        scales, c_in = len(first.margins), x.shape[1]
        margin = first.padding + last.padding
        side = first.kernels.shape[-1]
        planes = x.transpose(0, 1)
        planes = (F.pad(planes, (margin,) * 4) if margin else planes).contiguous()
        sides = torch.tensor([side - 2 * each for each in first.margins], dtype=torch.int32)
        offsets = torch.tensor(first.margins, dtype=torch.int32) + last.padding
        struct = FirstStageStruct(
            *(planes.data_ptr(), c_in, planes.shape[2], planes.shape[3], side, side),
            *(sides.data_ptr(), offsets.data_ptr(), None, None),
        )
        last_gradient, first_gradient, bias_gradient = window_gradients(
            ctx.library,
            ctx.stack_shape,
            ctx.window,
            struct,
            (scale, row, column),
            seen,
            gradients[0],
            scales,
        )
        o = first.kernels.shape[1]
        first_gradient = first_gradient[..., :o].permute(0, 4, 1, 2, 3)
        c = last_kernels.shape[2]
        last_gradient = last_gradient[:, :, 0, ..., :c].permute(0, 1, 4, 2, 3)
        bias = None if first.bias is None else bias_gradient[:o]
        return None, first_gradient, bias, last_gradient, None, None


def answer_stack(library: Library, x: Tensor, bank: KernelBank) -> Tensor:
    """The ReLU'd answers of all scales, (S, H, W, n, filled o)."""
    images = laid_out(library, x)
    planes = [
        plane(library, images.struct, (x.shape[2], x.shape[3]), bank, scale, exact_black=True)
        for scale in range(len(bank.margins))
    ]
    size = planes[0].struct.height, planes[0].struct.width
    stack = torch.empty(len(planes), *size, len(x), planes[0].struct.outputs)
    for answers, each in zip(stack, planes, strict=True):
        library.call("dense_answers", each.struct, 1, answers)
    return stack


def search_planes(library: Library, stack: Tensor, bank: KernelBank) -> RowPeaks:
    """The peaks of the rows of each scale's answers."""
    scales, height, width, n, stride = stack.shape
    found = None
    for scale, answers in enumerate(stack):
        pixels = n * stride
        images = ImagesStruct(
            answers.data_ptr(), width * pixels, pixels, n, bank.kernels.shape[2], stride
        )
        searched = plane(library, images, (height, width), bank, scale, exact_black=False)
        if found is None:
            found = empty_peaks(scales, searched.struct.height, n * searched.struct.outputs)
        library.call("plane_peaks", searched.struct, found.struct(scale))
    assert found is not None
    return found


def corners_of(places: Corners, padding: int) -> Corners:
    """Scale, first row and first column of each winner's window."""
    scale, row, column = places
    return (scale, row - padding, column - padding) if padding else places
