"""The answers of a ``SiConv2d`` by compiled loops: all of them, one scale of each, the largest.

Each function answers as the one of the same name in ``siconvnet.fast``, for float32 images on the
CPU. Inside, answers lie as (row, column, image, channel), channels filled up to whole vectors.
"""

import ctypes
import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.compiled.library import Library, chosen_library, covers, threads
from siconvnet.compiled.tables import (
    ImagesStruct,
    LadderTables,
    Layout,
    ProblemStruct,
    filled,
    folded,
    ladder_tables,
    laid_out,
)
from siconvnet.modes.precision import full_precision
from siconvnet.modes.transformed import differentiable_once
from siconvnet.resample import Ladder

MOST_TRAINED_CHANNELS = 4  # of the images; with more, a gradient by frequencies costs less
NOISE_UNITS = 8  # in the last place, of the sum of all terms' sizes


@dataclass(frozen=True, slots=True)
class Scan:
    """A problem for the compiled scan, and the memory that it points to."""

    library: Library
    tables: LadderTables
    images: Layout
    struct: ProblemStruct
    outputs: int
    kept: tuple[Tensor, ...]

    def call(self, function: str, *args: Any) -> None:
        self.library.call(function, self.struct, *args)

    @property
    def noise(self) -> Tensor:
        """How far rounding may move an answer, for each image and channel, (n, filled o)."""
        return self.kept[-1]

    def maps(self, *leading: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uninitialised answers with their borders."""
        return torch.empty(
            *leading, self.tables.height, self.tables.width, *self.pairs, dtype=dtype
        )

    @property
    def pairs(self) -> tuple[int, int]:
        """Numbers of images and of filled channels out."""
        return self.images.struct.count, self.struct.outputs


def make_scan(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder) -> Scan:
    """Lay out what the loops need."""
    library = chosen_library()
    assert library is not None
    n, _, height, width = x.shape
    tables = ladder_tables(height, width, ladder)
    images = laid_out(library, x)
    taps = folded(library, weight, mirrored=tables.mirrored)
    padding = filled(len(weight)) - len(weight)
    whole_bias = F.pad(bias.detach(), (0, padding))
    black = torch.empty(tables.height, tables.width, n, dtype=torch.int16)
    library.call(
        "black_scales",
        images.struct,
        height,
        width,
        ladder.kernel_size,
        ladder.num_scales,
        int(ladder.padding),
        black,
    )
    struct = ProblemStruct(
        images.struct,
        ladder.num_scales,
        len(whole_bias),
        tables.height,
        tables.width,
        threads(),
        ctypes.addressof(tables.rows.structs),
        ctypes.addressof(tables.columns.structs),
        tables.borders.data_ptr(),
        taps.data_ptr(),
        whole_bias.data_ptr(),
        black.data_ptr(),
    )
    noise = F.pad(rounding(x.detach(), weight.detach()), (0, padding))
    return Scan(library, tables, images, struct, len(weight), (taps, whole_bias, black, noise))


def rounding(x: Tensor, weight: Tensor) -> Tensor:
    """How far rounding may move an answer, for each image and channel, (n, o)."""
    terms = x.abs().amax((2, 3)) @ weight.abs().sum((2, 3)).T
    return terms * (NOISE_UNITS * torch.finfo(x.dtype).eps)


def covers_response(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether the loops can answer, with the gradients that are asked for."""
    trained = torch.is_grad_enabled() and (weight.requires_grad or bias.requires_grad)
    if torch.is_grad_enabled() and x.requires_grad:
        return False
    return covers(x, weight, bias) and not (trained and x.shape[1] > MOST_TRAINED_CHANNELS)


def pooled_response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """One scale's answer, chosen as ``ScalePool(mode)`` does: (N, C, H, W) -> (N, O, H', W')."""
    return _PooledResponse.apply(x, weight, bias, ladder, mode)


class _PooledResponse(torch.autograd.Function):
    """The chosen scale of each pixel, or of each image and channel."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str
    ) -> Tensor:
        scan = make_scan(x, weight, bias, ladder)
        pooled, choice = pooled_maps(scan, mode, loudest_sum(x, weight, bias, ladder, mode))
        ctx.save_for_backward(x, weight, choice)
        ctx.library, ctx.tables = scan.library, scan.tables
        return pooled[..., : scan.outputs].permute(2, 3, 0, 1)

    @staticmethod
    @differentiable_once
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, choice = saved
        answered = (choice >= 0) & (choice <= reach(ctx.tables))
        gradient_ijno = gradients[0].permute(2, 3, 0, 1) * answered[..., : len(weight)]
        bias_gradient = gradient_ijno.sum((0, 1, 2))
        with full_precision(x.device):
            weight_gradient = chosen_gradients(
                ctx.library, x, weight, gradient_ijno, choice, ctx.tables
            )
        return None, weight_gradient, bias_gradient, None, None


def pooled_maps(scan: Scan, mode: str, choice: Tensor | None) -> tuple[Tensor, Tensor]:
    """Answers (i, j, n, o), and what was chosen: (i, j, n, o) for pixel pooling, else (n, o)."""
    if mode == "pixel":
        pooled, choice = scan.maps(), scan.maps(dtype=torch.int32)
        scan.call("pixel_pooled", scan.noise, pooled, choice, None)
        return pooled, choice
    pooled = scan.maps().zero_()
    if choice is not None:
        choice = F.pad(choice, (0, scan.struct.outputs - scan.outputs), value=-1).int()
        scan.call("chosen_answers", choice, pooled)
        return pooled, choice
    choice = torch.empty(scan.pairs, dtype=torch.int32)
    loudness = torch.empty(scan.struct.scales, *scan.pairs)
    scan.call("slice_pooled", pooled, choice, loudness)
    return pooled, choice


def chosen_gradients(
    library: Library,
    x: Tensor,
    weight: Tensor,
    gradient_ijno: Tensor,
    choice: Tensor,
    tables: LadderTables,
) -> Tensor:
    """The gradient of the weight, given that of answers that have chosen a scale each."""
    (o, c, _, _), (n, _, height, width) = weight.shape, x.shape
    scales, longest, _ = tables.taps.shape
    gradient = F.pad(gradient_ijno, (0, choice.shape[-1] - o)).contiguous()
    padded = tables.ladder.padding
    margin = longest // 2 if padded else 0
    row_length = filled(longest)
    planes = F.pad(x.transpose(0, 1), (margin, margin + row_length, margin, margin))
    planes = torch.cat([planes.flatten(), planes.new_zeros(row_length)])
    offsets = margin - tables.sides // 2 if padded else -tables.borders
    enlarged = torch.zeros(scales, o, c, longest, row_length)
    library.call(
        "chosen_gradients",
        *(gradient, choice, int(choice.ndim == 2), tables.height, tables.width, n, o),
        *(choice.shape[-1], scales, tables.sides, offsets.int().contiguous(), planes, c),
        *(height + 2 * margin, width + 2 * margin + row_length, longest, row_length),
        *(threads(), enlarged),
    )
    columns = (enlarged[..., :longest].flatten(1, 3) @ tables.taps).view(scales, o, c, longest, -1)
    return (tables.taps.mT[:, None, None] @ columns).sum(0)


@functools.lru_cache(maxsize=32)
def _reach(height: int, width: int, ladder: Ladder) -> Tensor:
    last = ladder.num_scales - 1
    if ladder.padding:
        return torch.full((height, width, 1, 1), last, dtype=torch.int32)
    i, j = (torch.arange(size, dtype=torch.int32) for size in (height, width))
    depth = torch.minimum(torch.minimum(i, i.flip(0))[:, None], torch.minimum(j, j.flip(0)))
    return depth.clamp(max=last)[..., None, None]


def reach(tables: LadderTables) -> Tensor:
    """The largest scale whose kernel stays inside the image at each pixel, (i, j, 1, 1)."""
    with torch.inference_mode(False):
        return _reach(tables.height, tables.width, tables.ladder)


@torch.no_grad()
def loudest_sum(
    x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str
) -> Tensor | None:
    """The scale that energy pooling keeps, (n, o), without answering; None for other modes."""
    if mode not in ("energy", "energy_valid"):
        return None
    return answer_sums(x, weight, bias, ladder, mode).max(dim=0).indices


def answer_sums(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """The sums of each scale's answers, for ``energy_valid`` their means, (S, n, o).

    The sum of all answers weighs each pixel by the sum of the kernel's taps that meet it.
    """
    height, width = x.shape[2:]
    rows, columns = (meeting_taps(side, ladder, x.dtype) for side in (height, width))
    seen = torch.einsum("sah,nchw->scanw", rows, x)
    seen = torch.einsum("scanw,sbw->sncab", seen, columns)
    sums = seen.flatten(2) @ weight.flatten(1).T
    sides = zip(ladder.inner_sides(height), ladder.inner_sides(width), strict=True)
    counts = x.new_tensor([inner_height * inner_width for inner_height, inner_width in sides])
    counts = counts[:, None, None]
    return sums / counts + bias if mode == "energy_valid" else sums + counts * bias


@functools.lru_cache(maxsize=32)
def meeting_taps(image_side: int, ladder: Ladder, dtype: torch.dtype) -> Tensor:
    """For each scale, learned tap and pixel the sum of the taps that meet it, (S, k, pixels)."""
    with torch.inference_mode(False), torch.no_grad():
        tables = ladder_tables(image_side, image_side, ladder)
        met = []
        for taps, side, answers in zip(
            tables.taps, ladder.sides, ladder.inner_sides(image_side), strict=True
        ):
            first = side // 2 if ladder.padding else 0
            answer = torch.arange(image_side)[:, None] - torch.arange(side) + first
            meets = ((answer >= 0) & (answer < answers)).double()
            met.append((meets @ taps[:side].double()).T)
        return torch.stack(met).to(dtype)


def pooled_peak(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """What a global maximum finds in ``pooled_response``: (N, C, H, W) -> (N, O)."""
    with torch.no_grad():
        scan = make_scan(x, weight, bias, ladder)
        choice = loudest_sum(x, weight, bias, ladder, mode)
        rows = peak_rows(scan, choice)
    value = _Peak.apply(x, weight, rows, scan.library, scan.tables) + bias
    if ladder.padding or ladder.num_scales == 1:
        return value
    if choice is None:
        return value.clamp(min=0)  # the zeros around some kernel's answers
    return torch.where(choice > 0, value.clamp(min=0), value)


def peak_rows(scan: Scan, choice: Tensor | None) -> Tensor:
    """Scale and row that may hold the largest answer: first ones and loudest, (2, 2, n, o)."""
    rows = torch.empty(2, 2, *scan.pairs, dtype=torch.int32)
    if choice is not None:
        choice = F.pad(choice, (0, scan.struct.outputs - scan.outputs), value=-1).int()
    scan.call("peak_rows", choice, scan.noise, rows[0], rows[1])
    return rows


class _Peak(torch.autograd.Function):
    """The largest answers, without bias, of rows that a search has found."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, rows: Tensor, library: Library, tables: LadderTables
    ) -> Tensor:
        images = laid_out(library, x, fill_channels=True)
        weight_oabc = by_taps(weight, images.struct.channel_stride)
        n, o = len(x), len(weight)
        places = torch.empty(3, n, o, dtype=torch.int32)
        values = torch.empty(n, o)
        seen = torch.empty(n, *weight_oabc.shape)
        library.call(
            "winning_answers",
            *(images.struct, tables.struct, x.shape[2], x.shape[3], o, rows.shape[-1]),
            *(weight_oabc, rows[0], rows[1], threads(), places, values, seen),
        )
        ctx.save_for_backward(x, weight, places, seen)
        ctx.library, ctx.tables = library, tables
        return values

    @staticmethod
    @differentiable_once
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, places, seen = saved
        n, c, height, width = x.shape
        stride = filled(c)
        weight_oabc = by_taps(weight, stride)
        weight_gradient = torch.zeros_like(weight_oabc)
        image_gradient = None
        if ctx.needs_input_grad[0]:
            image_gradient = x.new_zeros(height, width, n, stride)
        images = ImagesStruct(None, width * n * stride, n * stride, n, c, stride)
        ctx.library.call(
            "winning_answers_backward",
            *(images, ctx.tables.struct, height, width, len(weight), weight_oabc, places, seen),
            *(gradients[0].contiguous(), threads(), weight_gradient, image_gradient),
        )
        if image_gradient is not None:
            image_gradient = image_gradient[..., :c].permute(2, 3, 0, 1)
        return image_gradient, weight_gradient[..., :c].permute(0, 3, 1, 2), None, None, None


def by_taps(weight: Tensor, channels: int) -> Tensor:
    """Learned kernels (O, C, k, k) with the channels last, filled up: (O, k, k, channels)."""
    weight_oabc = weight.detach().permute(0, 2, 3, 1)
    return F.pad(weight_oabc, (0, channels - weight_oabc.shape[3])).contiguous()
