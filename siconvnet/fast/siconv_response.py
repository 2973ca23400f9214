"""The answers of a ``SiConv2d``, all of them or one scale of each, differentiable.

Axes as in ``siconv_spectrum``. Inside, maps are laid out (i, j, n, o).
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from siconvnet.fast.siconv_choice import (
    chosen_slices,
    clearance,
    largest_at_each_pixel,
    loudest_slice,
    loudest_sum,
    pairs_of_groups,
    rounding,
)
from siconvnet.fast.siconv_correlator import Correlator
from siconvnet.fast.siconv_spectrum import ScaleGroup, Spectrum, spectrum_of
from siconvnet.modes.precision import full_precision
from siconvnet.modes.transformed import differentiable_once, not_compiled
from siconvnet.resample import Ladder


@not_compiled
def response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder) -> Tensor:
    """Every scale's answer, with its border: (N, C, H, W) -> (N, O, S, H', W')."""
    with full_precision(x.device):
        spectrum = spectrum_of(x, len(weight), ladder)
        parts = spectrum.kernel_parts(weight)
        return joined(
            [DenseResponse.apply(images, parts, bias, spectrum) for images in spectrum.passes(x)]
        )


def pooled_response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """One scale's answer, chosen as ``ScalePool(mode)`` does: (N, C, H, W) -> (N, O, H', W')."""
    with full_precision(x.device):
        spectrum = spectrum_of(x, len(weight), ladder)
        parts = spectrum.kernel_parts(weight)
        pooled = []
        for images in spectrum.passes(x):
            choice = loudest_sum(images, weight, bias, ladder, mode)
            noise = rounding(images, weight.detach()) if choice is None else None
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
        correlator = Correlator(spectrum, spectrum.image_blocks(x), parts)
        height, width = spectrum.answer_size
        size = (spectrum.ladder.num_scales, height, width, correlator.n, correlator.o)
        answers = x.new_zeros(size)
        black_scales = clearance(x, spectrum).permute(1, 2, 0)[:, :, :, None, None]
        for group in spectrum.groups:
            black = black_scales[group.inner] > group.numbers
            found = correlator.answers(group).masked_fill_(black, 0)
            here = answers[(slice(group.scales.start, group.scales.stop), *group.inner)]
            torch.add(found.permute(4, 0, 1, 2, 3), bias, out=here)
            if group.beyond is not None:
                here.masked_fill_(group.beyond.permute(4, 0, 1, 2, 3), 0)
        ctx.save_for_backward(x, parts, correlator.blocks)
        ctx.spectrum = spectrum
        return answers.permute(3, 4, 0, 1, 2)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, saved: tuple[Tensor, ...], *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        spectrum: Spectrum = ctx.spectrum
        _, parts, blocks = saved
        grad_ijnos = grads[0].permute(3, 4, 0, 1, 2)
        of_groups: list[GroupGradient] = []
        bias_grads = []
        for group in spectrum.groups:
            grad = grad_ijnos[group.inner][..., group.scales.start : group.scales.stop]
            if group.beyond is not None:
                grad = grad.masked_fill(group.beyond, 0)
            bias_grads.append(grad.sum((0, 1, 2, 4)))
            of_groups.append((group, grad, None))
        bias_grad = torch.stack(bias_grads).sum(0)
        return *factor_grads(ctx, blocks, parts, of_groups), bias_grad, None


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
        black_scales = None
        if mode == "slice" or ctx.needs_input_grad[0]:
            black_scales = clearance(x, spectrum)
        if choice is not None:
            pooled = chosen_slices(correlator, bias, choice)
        elif mode == "pixel":
            assert noise is not None
            pooled, choice = largest_at_each_pixel(correlator, bias, noise)
        else:
            assert noise is not None
            assert black_scales is not None
            pooled, choice = loudest_slice(correlator, bias, black_scales, noise)
        if ctx.needs_input_grad[0]:
            assert black_scales is not None
            # Rounding must not decide which of the equal answers to a black patch is first.
            black = (choice < black_scales.permute(1, 2, 0)[..., None]) & (choice >= 0)
            pooled = torch.where(black, bias, pooled)
            if mode == "pixel":
                choice = choice.masked_fill(black, 0)
        ctx.save_for_backward(x, parts, correlator.blocks, choice)
        ctx.spectrum = spectrum
        return pooled.permute(2, 3, 0, 1)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, saved: tuple[Tensor, ...], *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        spectrum: Spectrum = ctx.spectrum
        _, parts, blocks, choice = saved
        grad_ijno = grads[0].permute(2, 3, 0, 1)
        answered = (choice >= 0) & (choice <= spectrum.reach[:, :, None, None])
        grad_ijno = grad_ijno * answered
        bias_grad = grad_ijno.sum((0, 1, 2))
        pairwise = choice.ndim == 2 and spectrum.one_by_one
        scatter = scatter_slices if pairwise else scatter_scales
        found = scatter(grad_ijno, choice, spectrum)
        return *factor_grads(ctx, blocks, parts, found), bias_grad, None, None, None, None


GroupGradient = tuple[ScaleGroup, Tensor, Tensor | None]  # group, (i, j, n, o, s), pairs if not all


def scatter_scales(grad: Tensor, choice: Tensor, spectrum: Spectrum) -> Iterator[GroupGradient]:
    """The gradient of each group's answers where each pixel, or image and channel, has its own."""
    chosen = choice.to(grad.dtype).expand(grad.shape)
    buffer = grad.new_empty(grad.numel() * max(len(group.scales) for group in spectrum.groups))
    for group in spectrum.groups:
        inner = grad[group.inner][..., None]
        shape = (*inner.shape[:-1], len(group.scales))
        masked = buffer[: math.prod(shape)].view(shape)
        torch.eq(chosen[group.inner][..., None], group.numbers, out=masked)
        yield group, masked.mul_(inner), None


def scatter_slices(grad: Tensor, choice: Tensor, spectrum: Spectrum) -> Iterator[GroupGradient]:
    """The gradient of each scale's answers to the images and channels that have chosen it."""
    for group, pairs in pairs_of_groups(choice, spectrum):
        yield group, grad[group.inner].flatten(2).index_select(2, pairs)[..., None, None], pairs


def factor_grads(
    ctx: Any, blocks: Tensor, parts: Tensor, found: Iterable[GroupGradient]
) -> tuple[Tensor | None, Tensor]:
    """Gradients of the images, if asked for, and of the kernels' parts."""
    spectrum: Spectrum = ctx.spectrum
    with full_precision(blocks.device):
        correlator = Correlator(spectrum, blocks, parts)
        parts_grad = torch.zeros_like(parts)
        blocks_grad = torch.zeros_like(blocks) if ctx.needs_input_grad[0] else None
        for group, grad, pairs in found:
            correlator.accumulate(group, grad, parts_grad, blocks_grad, pairs)
        if blocks_grad is None:
            return None, parts_grad
        return spectrum.images_from_blocks(blocks_grad, correlator.n, correlator.c), parts_grad
