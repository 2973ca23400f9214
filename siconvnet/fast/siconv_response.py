"""The answers of a ``SiConv2d``, all of them or one scale of each, differentiable.

Axes as in ``siconv_spectrum``. Inside, maps are laid out (i, j, n o).
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from siconvnet.fast.precision import full_precision
from siconvnet.fast.siconv_spectrum import Correlator, Spectrum, make_spectrum
from siconvnet.resample import Ladder, resize_matrix

NO_SCALE = -1  # where the zeros around a big kernel's answer were larger than any answer


def response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder) -> Tensor:
    """Every scale's answer, with its border: (N, C, H, W) -> (N, O, S, H', W')."""
    with full_precision(x.device):
        spectrum = make_spectrum(x.shape[2], x.shape[3], ladder, x.dtype, x.device)
        parts = spectrum.kernel_parts(weight)
        return joined(
            [DenseResponse.apply(images, parts, bias, spectrum) for images in spectrum.passes(x)]
        )


def pooled_response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """One scale's answer, chosen as ``ScalePool(mode)`` does: (N, C, H, W) -> (N, O, H', W')."""
    with full_precision(x.device):
        spectrum = make_spectrum(x.shape[2], x.shape[3], ladder, x.dtype, x.device)
        parts = spectrum.kernel_parts(weight)
        pooled = []
        for images in spectrum.passes(x):
            choice = loudest_sum(images, weight, bias, ladder) if mode == "energy" else None
            noise = None if mode == "energy" else rounding(images, weight.detach())
            found = PooledResponse.apply(images, parts, bias, spectrum, mode, choice, noise)
            pooled.append(found)
        return joined(pooled)


def joined(passes: list[Tensor]) -> Tensor:
    """The answers of all passes, in the memory order of one where there is no other."""
    return passes[0] if len(passes) == 1 else torch.cat(passes)


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

        grads_of_scales = [
            grad_sijno[(scale, *spectrum.inner(scale))]
            for scale in range(spectrum.ladder.num_scales)
        ]
        bias_grad = torch.stack([grad.sum((0, 1, 2)) for grad in grads_of_scales]).sum(0)
        found = ((scale, grad.flatten(2), None) for scale, grad in enumerate(grads_of_scales))
        return *factor_grads(ctx, found), bias_grad, None


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
        noise: Tensor | None,
    ) -> Tensor:
        correlator = Correlator(spectrum, spectrum.image_blocks(x), parts)
        n, o = correlator.n, correlator.o
        bias_no = bias.repeat(n)
        if choice is not None:
            pooled = chosen_slices(correlator, bias_no, choice)
        elif mode == "pixel":
            assert noise is not None
            pooled, choice = largest_at_each_pixel(correlator, bias_no, noise)
        else:
            assert noise is not None
            black_scales = clearance(x, spectrum.ladder)
            pooled, choice = loudest_slice(correlator, bias_no, black_scales, noise)
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
        grad_ijno = grad_ijno * answered
        bias_grad = grad_ijno.sum((0, 1)).view(n, o).sum(0)
        scatter = scatter_slices if choice.ndim == 1 else scatter_pixels
        found = scatter(grad_ijno, choice, spectrum)
        return *factor_grads(ctx, found), bias_grad, None, None, None, None


ScaleGradient = tuple[int, Tensor, Tensor | None]  # scale, (i, j, pairs), pairs if not all (n o)


def scatter_pixels(grad: Tensor, choice: Tensor, spectrum: Spectrum) -> Iterator[ScaleGradient]:
    """The gradient of each scale's answers where each pixel has chosen its own."""
    chosen = choice.to(grad.dtype)
    buffer = torch.empty_like(grad).flatten()
    for scale in range(spectrum.ladder.num_scales):
        inner = spectrum.inner(scale)
        masked = buffer[: grad[inner].numel()].view(grad[inner].shape)
        torch.eq(chosen[inner], scale, out=masked)
        yield scale, masked.mul_(grad[inner]), None


def scatter_slices(grad: Tensor, choice: Tensor, spectrum: Spectrum) -> Iterator[ScaleGradient]:
    """The gradient of each scale's answers to the images and channels that have chosen it."""
    for scale, pairs in pairs_of_scales(choice, spectrum.ladder):
        yield scale, grad[spectrum.inner(scale)].index_select(2, pairs), pairs


def pairs_of_scales(choice: Tensor, ladder: Ladder) -> list[tuple[int, Tensor]]:
    """The scales that any image and channel has chosen, and which of (n o) have."""
    counts = choice.bincount(minlength=ladder.num_scales).tolist()
    pairs = choice.argsort(stable=True).split(counts)
    return [(scale, chosen) for scale, chosen in enumerate(pairs) if len(chosen)]


def factor_grads(ctx: Any, found: Iterable[ScaleGradient]) -> tuple[Tensor | None, Tensor]:
    """Gradients of the images, if asked for, and of the kernels' parts."""
    x, parts = ctx.saved_tensors[:2]
    spectrum: Spectrum = ctx.spectrum
    with full_precision(x.device):
        blocks = spectrum.image_blocks(x)
        correlator = Correlator(spectrum, blocks, parts)
        parts_grad = torch.zeros_like(parts)
        blocks_grad = torch.zeros_like(blocks) if ctx.needs_input_grad[0] else None
        for scale, grad, pairs in found:
            correlator.accumulate(scale, grad, parts_grad, blocks_grad, pairs)
        if blocks_grad is None:
            return None, parts_grad
        return spectrum.images_from_blocks(blocks_grad, *x.shape[:2]), parts_grad


def largest_at_each_pixel(
    correlator: Correlator, bias_no: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
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
    # The zeros around bigger kernels' answers win from answers below zero, not from rounded zeros.
    zeros = (reach(spectrum, largest.device) < last) & (largest < -noise)
    return largest.masked_fill_(zeros, 0), choice.masked_fill_(zeros, NO_SCALE)


def loudest_slice(
    correlator: Correlator, bias_no: Tensor, black_scales: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The answers, (i, j, n o), of the scale with the largest one, and that scale, (n o)."""
    spectrum = correlator.spectrum
    blackest = black_scales.amax((0, 1)).repeat_interleave(correlator.o)
    pooled = bias_no.new_zeros(*spectrum.answer_size, len(bias_no))
    loudest = torch.full_like(bias_no, -torch.inf)
    choice = torch.zeros_like(bias_no, dtype=torch.int64)
    for scale, found in correlator.responses():
        peak = found.amax((0, 1))
        # A black patch answers with the bias exactly, at every scale that it holds.
        peak = peak.masked_fill((blackest > scale) & (peak <= noise), 0) + bias_no
        if spectrum.ladder.border(scale):
            peak = peak.clamp(min=0)
        won = peak > loudest
        choice.masked_fill_(won, scale)
        torch.maximum(loudest, peak, out=loudest)
        inner = spectrum.inner(scale)
        torch.where(won, found, pooled[inner], out=pooled[inner])
    pooled += bias_no
    return pooled.masked_fill_(reach(spectrum, pooled.device) < choice, 0), choice


def chosen_slices(correlator: Correlator, bias_no: Tensor, choice: Tensor) -> Tensor:
    """The answers of one given scale of each image and channel, (i, j, n o)."""
    spectrum = correlator.spectrum
    pooled = bias_no.new_zeros(*spectrum.answer_size, len(bias_no))
    for scale, pairs in pairs_of_scales(choice, spectrum.ladder):
        found = correlator.response(scale, pairs)
        pooled[spectrum.inner(scale)].index_copy_(2, pairs, found.add_(bias_no[pairs]))
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
        sums += answer_counts(height, width, ladder, x.dtype, x.device) * bias
        return sums.max(dim=0).indices.flatten()


@functools.lru_cache(maxsize=32)
def meeting_taps(
    image_side: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """For each scale, learned tap and pixel the sum of the taps that meet it, (S, k, pixels)."""
    with torch.inference_mode(False), torch.no_grad():
        met = []
        for side, answers in zip(ladder.sides, ladder.inner_sides(image_side), strict=True):
            first = side // 2 if ladder.padding else 0
            answer = torch.arange(image_side)[:, None] - torch.arange(side) + first
            meets = ((answer >= 0) & (answer < answers)).double()
            resize = resize_matrix(ladder.kernel_size, side, ladder.interpolation, dtype)
            met.append((meets @ resize.double()).T * (ladder.kernel_size / side))
        return torch.stack(met).to(dtype).to(device)


@functools.lru_cache(maxsize=32)
def answer_counts(
    height: int, width: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """How many answers each scale gives to an image, (S, 1, 1)."""
    with torch.inference_mode(False):
        sides = zip(ladder.inner_sides(height), ladder.inner_sides(width), strict=True)
        counts = [inner_height * inner_width for inner_height, inner_width in sides]
        return torch.tensor(counts, dtype=dtype, device="cpu")[:, None, None].to(device)


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


def rounding(x: Tensor, weight: Tensor) -> Tensor:
    """How far rounding may move an answer, for each image and channel, (n o)."""
    terms = x.abs().amax((2, 3)) @ weight.abs().sum((2, 3)).T
    return terms.flatten() * (8 * torch.finfo(x.dtype).eps)
