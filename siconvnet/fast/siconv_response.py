"""The answers of a ``SiConv2d``, all of them or one scale of each, differentiable.

Axes as in ``siconv_spectrum``. Inside, maps are laid out (i, j, n o).
"""

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from siconvnet.fast.precision import full_precision
from siconvnet.fast.siconv_spectrum import Correlator, Ladder, Spectrum, make_spectrum
from siconvnet.resample import resize_matrix

NO_SCALE = -1  # where the zeros around a big kernel's answer were larger than any answer


def response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder) -> Tensor:
    """Every scale's answer, with its border: (N, C, H, W) -> (N, O, S, H', W')."""
    with full_precision(x.device):
        spectrum = make_spectrum(x.shape[2], x.shape[3], ladder, x.dtype, x.device)
        return DenseResponse.apply(x, spectrum.kernel_parts(weight), bias, spectrum)


def pooled_response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """One scale's answer, chosen as ``ScalePool(mode)`` does: (N, C, H, W) -> (N, O, H', W')."""
    with full_precision(x.device):
        spectrum = make_spectrum(x.shape[2], x.shape[3], ladder, x.dtype, x.device)
        choice = loudest_sum(x, weight, bias, ladder) if mode == "energy" else None
        parts = spectrum.kernel_parts(weight)
        return PooledResponse.apply(x, parts, bias, spectrum, mode, choice)


class DenseResponse(torch.autograd.Function):
    """All scales, bilinear in the images and the kernels' parts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, parts: Tensor, bias: Tensor, spectrum: Spectrum) -> Tensor:
        ctx.save_for_backward(x, parts)
        ctx.spectrum = spectrum
        correlator = Correlator(spectrum, spectrum.image_blocks(x), parts)
        n, o = correlator.n, correlator.o
        height, width = spectrum.answer_size
        answers = x.new_zeros(spectrum.ladder.num_scales, height, width, n, o)
        black_scales = clearance(x, spectrum.ladder)
        for scale, found in correlator.responses():
            rows, columns = spectrum.inner(scale)
            black = black_scales[rows, columns, :, None] > scale
            found = found.view(*found.shape[:2], n, o).masked_fill_(black, 0)
            torch.add(found, bias, out=answers[scale, rows, columns])
        return answers.permute(3, 4, 0, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        spectrum: Spectrum = ctx.spectrum
        grad_sijno = grads[0].permute(2, 3, 4, 0, 1)

        def grad_of(scale: int) -> Tensor:
            rows, columns = spectrum.inner(scale)
            return grad_sijno[scale, rows, columns].flatten(2)

        bias_grad = grad_sijno.new_zeros(grad_sijno.shape[4])
        for scale in range(spectrum.ladder.num_scales):
            bias_grad += grad_sijno[(scale, *spectrum.inner(scale))].sum((0, 1, 2))
        return *factor_grads(ctx, grad_of), bias_grad, None


class PooledResponse(torch.autograd.Function):
    """The chosen scale of each pixel, or of each image and channel."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        parts: Tensor,
        bias: Tensor,
        spectrum: Spectrum,
        mode: str,
        choice: Tensor | None,
    ) -> Tensor:
        correlator = Correlator(spectrum, spectrum.image_blocks(x), parts)
        n, o = correlator.n, correlator.o
        bias_no = bias.repeat(n)
        if mode == "pixel":
            pooled, choice = largest_at_each_pixel(correlator, bias_no)
        else:
            if choice is None:
                noise = rounding(x, spectrum, parts)
                choice = loudest_slice(correlator, bias_no, clearance(x, spectrum.ladder), noise)
            pooled = chosen_slices(correlator, bias_no, choice)
        if ctx.needs_input_grad[0]:
            # Rounding must not decide which of the equal answers to a black patch is first.
            black_scales = clearance(x, spectrum.ladder).repeat_interleave(o, dim=2)
            black = (choice < black_scales) & (choice >= 0)
            pooled = torch.where(black, bias_no, pooled)
            if mode == "pixel":
                choice = choice.masked_fill(black, 0)
        ctx.save_for_backward(x, parts, choice)
        ctx.spectrum = spectrum
        return pooled.unflatten(2, (n, o)).permute(2, 3, 0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        spectrum: Spectrum = ctx.spectrum
        choice = ctx.saved_tensors[2]
        n, o = grads[0].shape[:2]
        grad_ijno = grads[0].permute(2, 3, 0, 1).reshape(*spectrum.answer_size, n * o)
        answered = (choice >= 0) & (choice <= reach(spectrum, choice.device))
        bias_grad = (grad_ijno * answered).sum((0, 1)).view(n, o).sum(0)
        chosen = choice.to(grad_ijno.dtype).expand(grad_ijno.shape)
        buffer = torch.empty_like(grad_ijno).flatten()

        def grad_of(scale: int) -> Tensor:
            inner = spectrum.inner(scale)
            shape = chosen[inner].shape
            masked = torch.eq(chosen[inner], scale, out=buffer[: math.prod(shape)].view(shape))
            return masked.mul_(grad_ijno[inner])

        return *factor_grads(ctx, grad_of), bias_grad, None, None, None


def factor_grads(ctx: Any, grad_of: Any) -> tuple[Tensor | None, Tensor]:
    """Gradients of the images, if asked for, and of the kernels' parts."""
    x, parts = ctx.saved_tensors[:2]
    spectrum: Spectrum = ctx.spectrum
    with full_precision(x.device):
        blocks = spectrum.image_blocks(x)
        correlator = Correlator(spectrum, blocks, parts)
        parts_grad = torch.zeros_like(parts)
        blocks_grad = torch.zeros_like(blocks) if ctx.needs_input_grad[0] else None
        for scale in range(spectrum.ladder.num_scales):
            correlator.accumulate(scale, grad_of(scale), parts_grad, blocks_grad)
        if blocks_grad is None:
            return None, parts_grad
        return spectrum.images_from_blocks(blocks_grad, *x.shape[:2]), parts_grad


def largest_at_each_pixel(correlator: Correlator, bias_no: Tensor) -> tuple[Tensor, Tensor]:
    """The largest answer over scales and its scale, both (i, j, n o)."""
    spectrum = correlator.spectrum
    largest = bias_no.new_full((*spectrum.answer_size, len(bias_no)), -torch.inf)
    choice = torch.zeros_like(largest, dtype=torch.int16)
    for scale, found in correlator.responses():
        inner = spectrum.inner(scale)
        # Scales grow, so the last one that won is the largest.
        won = (found > largest[inner]).to(choice.dtype).mul_(scale)
        torch.maximum(choice[inner], won, out=choice[inner])
        torch.maximum(largest[inner], found, out=largest[inner])
    largest += bias_no
    last = spectrum.ladder.num_scales - 1
    zeros = (reach(spectrum, largest.device) < last) & (largest < 0)
    return largest.masked_fill_(zeros, 0), choice.masked_fill_(zeros, NO_SCALE)


def loudest_slice(
    correlator: Correlator, bias_no: Tensor, black_scales: Tensor, noise: Tensor
) -> Tensor:
    """The scale with the largest answer of each image and channel, (n o)."""
    ladder = correlator.spectrum.ladder
    blackest = black_scales.amax((0, 1)).repeat_interleave(correlator.o)
    loudest = torch.full_like(bias_no, -torch.inf)
    choice = torch.zeros_like(bias_no, dtype=torch.int16)
    for scale, found in correlator.responses():
        peak = found.amax((0, 1))
        # A black patch answers with the bias exactly, at every scale that it holds.
        peak = peak.masked_fill((blackest > scale) & (peak <= noise), 0) + bias_no
        if ladder.border(scale):
            peak = peak.clamp(min=0)
        choice.masked_fill_(peak > loudest, scale)
        torch.maximum(loudest, peak, out=loudest)
    return choice


def chosen_slices(correlator: Correlator, bias_no: Tensor, choice: Tensor) -> Tensor:
    """The answers of one given scale of each image and channel, (i, j, n o)."""
    spectrum = correlator.spectrum
    pooled = bias_no.new_zeros(*spectrum.answer_size, len(bias_no))
    for scale, found in correlator.responses():
        inner = spectrum.inner(scale)
        torch.where(choice == scale, found + bias_no, pooled[inner], out=pooled[inner])
    return pooled


def loudest_sum(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder) -> Tensor:
    """The scale whose answers sum to most for each image and channel, (n o), without answering.

    The sum of all answers weighs each pixel by the sum of the kernel's taps that meet it.
    """
    with torch.no_grad():
        height, width = x.shape[2:]
        rows = meeting_taps(height, ladder, x.dtype, x.device)
        columns = meeting_taps(width, ladder, x.dtype, x.device)
        seen = torch.einsum("sah,nchw->scanw", rows, x)
        seen = torch.einsum("scanw,sbw->sncab", seen, columns)
        sums = seen.flatten(2) @ weight.flatten(1).T
        counts = [
            (ladder.answer_side(height) - 2 * ladder.border(scale))
            * (ladder.answer_side(width) - 2 * ladder.border(scale))
            for scale in range(ladder.num_scales)
        ]
        sums += x.new_tensor(counts)[:, None, None] * bias
        return sums.max(dim=0).indices.flatten().to(torch.int16)


@functools.lru_cache(maxsize=32)
def meeting_taps(
    image_side: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """For each scale, learned tap and pixel the sum of the taps that meet it, (S, k, pixels)."""
    with torch.inference_mode(False), torch.no_grad():
        met = []
        for scale, side in enumerate(ladder.sides):
            answers = ladder.answer_side(image_side) - 2 * ladder.border(scale)
            first = side // 2 if ladder.padding else 0
            answer = torch.arange(image_side)[:, None] - torch.arange(side) + first
            meets = ((answer >= 0) & (answer < answers)).double()
            resize = resize_matrix(ladder.kernel_size, side, ladder.interpolation, dtype)
            met.append((meets @ resize.double()).T * (ladder.kernel_size / side))
        return torch.stack(met).to(dtype).to(device)


def reach(spectrum: Spectrum, device: torch.device) -> Tensor:
    """The largest scale whose kernel stays inside the image at each pixel, (i, j, 1)."""
    height, width = spectrum.answer_size
    last = spectrum.ladder.num_scales - 1
    if spectrum.ladder.padding:
        return torch.full((height, width, 1), last, dtype=torch.int16, device=device)
    i = torch.arange(height, dtype=torch.int16, device=device)
    j = torch.arange(width, dtype=torch.int16, device=device)
    rows, columns = torch.minimum(i, i.flip(0)), torch.minimum(j, j.flip(0))
    return torch.minimum(rows[:, None], columns).clamp(max=last)[:, :, None]


def clearance(x: Tensor, ladder: Ladder) -> Tensor:
    """How many scales, counted from the smallest, see nothing but black, (i, j, n)."""
    lit = (x != 0).any(dim=1).permute(1, 2, 0)
    height, width, n = lit.shape
    pad = ladder.sides[-1] // 2 if ladder.padding else 0
    # Lit pixels above and to the left of each corner of a pixel; a patch has a difference of four.
    lit = F.pad(lit, (0, 0, pad + 1, pad, pad + 1, pad)).to(torch.int32)
    corners = lit.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
    answer_size = ladder.answer_side(height), ladder.answer_side(width)
    black_scales = torch.zeros(*answer_size, n, dtype=torch.int16, device=x.device)
    for scale, side in enumerate(ladder.sides):
        border = ladder.border(scale)
        rows, columns = (slice(border, length - border) for length in answer_size)
        margin = pad - side // 2 if ladder.padding else 0
        cut = corners[margin : corners.shape[0] - margin, margin : corners.shape[1] - margin]
        strips = cut[side:] - cut[:-side]
        black_scales[rows, columns] += strips[:, side:] == strips[:, :-side]
    return black_scales


def rounding(x: Tensor, spectrum: Spectrum, parts: Tensor) -> Tensor:
    """How far rounding may move an answer, for each image and channel, (n o)."""
    o = parts.shape[1] // x.shape[1]
    images = torch.linalg.vector_norm(x, dim=(1, 2, 3))
    kernels = torch.linalg.vector_norm(parts.unflatten(1, (-1, o)), dim=(0, 1))
    return torch.outer(images, kernels).flatten() * (4 * torch.finfo(x.dtype).eps)
