"""A dense ``SiConv2d`` and a convolution over (scale, row, column) after it, by compiled loops.

The first stage's answers lie in a stack whose frames of zeros are written once; the second stage is
searched in groups of scales; the gradient goes to the first only where the winners see it.
"""

import ctypes
import functools
import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.compiled.library import Library, chosen_library, threads
from siconvnet.compiled.peaks import RowPeaks, empty_peaks
from siconvnet.compiled.siconv import make_scan
from siconvnet.compiled.tables import (
    COLUMNS,
    ROWS,
    SCALES,
    AxisStruct,
    AxisTables,
    ImagesStruct,
    Int,
    LadderTables,
    Long,
    Pointer,
    axis_tables,
    filled,
    fold_matrices,
    ladder_tables,
)
from siconvnet.compiled.windows import (
    FirstStageStruct,
    LastKernels,
    window_answers,
    window_gradients,
)
from siconvnet.modes.transformed import differentiable_once
from siconvnet.resample import Ladder

_kept = threading.local()


class GroupStruct(ctypes.Structure):
    """Some scales of the stack that are searched together."""

    _fields_ = (
        ("first_scale", Int),
        ("crop", Int),
        ("first_row", Int),
        ("first_column", Int),
        ("scales", AxisStruct),
        ("rows", AxisStruct),
        ("columns", AxisStruct),
    )


class VolumeStruct(ctypes.Structure):
    """The stack and the kernels that it is searched with."""

    _fields_ = (
        ("images", ImagesStruct),
        ("scale_stride", Long),
        ("outputs", Int),
        ("threads", Int),
        ("answer_rows", Int),
        ("groups", Int),
        ("group", Pointer),
        ("taps", Pointer),
    )


def volume_peak(
    x: Tensor,
    first_weight: Tensor,
    first_bias: Tensor,
    ladder: Ladder,
    weight: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """The largest answers of ``conv3d`` to a ReLU'd dense ``SiConv2d``, (N, O), differentiable."""
    peak = _VolumePeak.apply(x, first_weight, first_bias, weight, ladder)
    if ladder.num_scales >= 2 * weight.shape[-1]:
        peak = peak.clamp(min=0)  # a corner's window sees nothing but the zeros around answers
    return peak if bias is None else peak + bias


class _VolumePeak(torch.autograd.Function):
    """Both stages at once; the gradient goes to both kernels and the first stage's bias."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        first_weight: Tensor,
        first_bias: Tensor,
        weight: Tensor,
        ladder: Ladder,
    ) -> Tensor:
        library = chosen_library()
        assert library is not None
        stack, tables = framed_stack(x, first_weight, first_bias, ladder)
        peaks = search_volume(library, stack, weight.detach())
        corners = peaks.first(library, len(x), len(weight))
        last = last_kernels(weight.detach(), stack.shape[-1])
        values, seen = window_answers(library, stack, last, corners)
        ctx.save_for_backward(x, first_weight, weight, *corners, seen)
        ctx.library, ctx.tables, ctx.stack_shape = library, tables, stack.shape
        return values

    @staticmethod
    @differentiable_once
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, first_weight, weight, scale, row, column, seen = saved
        tables: LadderTables = ctx.tables
        side = weight.shape[-1]
        _, longest, k = tables.taps.shape
        margin = int(tables.borders[-1])
        room = filled(longest + side)  # whole vectors are read beyond the last column
        planes = F.pad(x.transpose(0, 1), (margin, margin + room, margin, margin + side))
        planes = planes.contiguous()
        offsets = margin - tables.borders
        moved = moved_taps(tables, side)
        first = FirstStageStruct(
            *(planes.data_ptr(), x.shape[1], planes.shape[2], planes.shape[3], k, longest),
            *(tables.sides.data_ptr(), offsets.data_ptr()),
            *(tables.taps.data_ptr(), moved.data_ptr()),
        )
        last = last_kernels(weight, ctx.stack_shape[-1])
        last_gradient, first_gradient, bias_gradient = window_gradients(
            ctx.library, ctx.stack_shape, last, first, (scale, row, column), seen, gradients[0], 1
        )
        o = len(first_weight)
        first_gradient = first_gradient[0, ..., :o].permute(3, 0, 1, 2)
        last_gradient = last_gradient[0, ..., :o].permute(0, 4, 1, 2, 3)
        return None, first_gradient, bias_gradient[:o], last_gradient, None


def framed_stack(
    x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder
) -> tuple[Tensor, LadderTables]:
    """The ReLU'd answers of all scales with their borders, (S, H, W, n, filled o).

    A thread has one such stack, whose borders stay zeros; the next call overwrites the rest.
    """
    scan = make_scan(x, weight, bias, ladder)
    shape = (ladder.num_scales, scan.tables.height, scan.tables.width, *scan.pairs)
    kept = getattr(_kept, "stack", None)
    if kept is None or kept[0] != (shape, ladder):
        with torch.inference_mode(False):
            kept = (shape, ladder), torch.zeros(shape)
        _kept.stack = kept
    scan.call("dense_answers", 1, kept[1])
    return kept[1], scan.tables


def last_kernels(weight: Tensor, channels: int) -> LastKernels:
    """Kernels (O, C, d, k, k) as windows are multiplied with them."""
    last = weight.permute(0, 2, 3, 4, 1)
    last = F.pad(last, (0, channels - last.shape[-1]))[None].contiguous()
    return LastKernels(last, torch.zeros(1, dtype=torch.int32), one_kernel=True)


@functools.lru_cache(maxsize=8)
def _moved_taps(image_height: int, image_width: int, ladder: Ladder, side: int) -> Tensor:
    with torch.inference_mode(False):
        taps = ladder_tables(image_height, image_width, ladder).taps
        scales, longest, k = taps.shape
        moved = torch.zeros(scales, longest + side, filled(k * side))
        for column in range(side):
            moved[:, column : column + longest, column : k * side : side] = taps
        return moved


def moved_taps(tables: LadderTables, side: int) -> Tensor:
    """The taps of each scale, moved to each column of a window: (S, pixels, (b, column))."""
    k = tables.ladder.kernel_size
    return _moved_taps(tables.height + k - 1, tables.width + k - 1, tables.ladder, side)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of scales, and the tables that they point into."""

    structs: ctypes.Array[GroupStruct]
    kept: tuple[AxisTables, ...]


@functools.lru_cache(maxsize=16)
def volume_groups(scales: int, height: int, width: int, depth: int, side: int) -> Groups:
    """Groups of ``depth + 1`` answers, cropped to what the smallest scale of each does not frame.

    Scale ``s`` of the stack has ``s`` rows and columns of zeros at each side.
    """
    with torch.inference_mode(False), torch.no_grad():
        answers = scales - depth + 1
        together = min(answers, depth + 1)
        firsts = sorted({min(first, answers - together) for first in range(0, answers, together)})
        along_scales = axis_tables(
            together + depth - 1,
            together + depth - 1,
            [(torch.eye(depth), together)],
            fold_matrices(depth, mirrored=True),
            shares=SCALES,
        )
        structs, kept = (GroupStruct * len(firsts))(), [along_scales]
        for number, first in enumerate(firsts):
            padding = min(side - 1, first)
            axes = []
            for pixels, shares in ((height, ROWS), (width, COLUMNS)):
                seen = pixels - 2 * first
                axes.append(
                    axis_tables(
                        seen,
                        (seen + padding) | 1,
                        [(torch.eye(side), seen + 2 * padding - side + 1)],
                        fold_matrices(side, mirrored=True),
                        shares=shares,
                    )
                )
            start = first - padding
            structs[number] = GroupStruct(
                *(first, first, start, start),
                *(axis.structs[0] for axis in (along_scales, *axes)),
            )
            kept += axes
        return Groups(structs, tuple(kept))


def search_volume(library: Library, stack: Tensor, weight: Tensor) -> RowPeaks:
    """The peaks of the rows of all scales' answers."""
    scales, height, width, n, stride = stack.shape
    o, c, depth, side, _ = weight.shape
    groups = volume_groups(scales, height, width, depth, side)
    fold, along_scales = (torch.cat(fold_matrices(size, mirrored=True)) for size in (side, depth))
    taps = torch.einsum("ed,ak,bl,ocdkl->eabco", along_scales, fold, fold, weight)
    taps = F.pad(taps, (0, filled(o) - o)).contiguous()
    pixels = n * stride
    images = ImagesStruct(stack.data_ptr(), width * pixels, pixels, n, c, stride)
    volume = VolumeStruct(
        images,
        height * width * pixels,
        *(filled(o), threads(), height - side + 1),
        *(len(groups.structs), ctypes.addressof(groups.structs), taps.data_ptr()),
    )
    peaks = empty_peaks(scales - depth + 1, height - side + 1, n * filled(o))
    library.call("volume_peaks", volume, peaks.struct())
    return peaks
