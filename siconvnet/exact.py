"""Answers of a ``SiConv2d`` by the book and in double precision, where rounding must not decide."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.resample import Ladder, resize_matrix

MOST_TAPS = 2**22  # of patches that are multiplied with their kernels at once


class Layer(NamedTuple):
    """A ``SiConv2d`` without its module."""

    weight: Tensor
    bias: Tensor
    ladder: Ladder


def plain_kernel(layer: Layer, side: int) -> Tensor:
    """The learned kernel resized as the plain form does."""
    k, weight = layer.ladder.kernel_size, layer.weight
    resize = resize_matrix(k, side, layer.ladder.interpolation, weight.dtype, weight.device)
    return (k / side) ** 2 * (resize @ weight @ resize.T)


def exact_map(image: Tensor, layer: Layer, channel: int, scale: int) -> Tensor:
    """One scale's answers to one image in one channel, with their border, (H', W')."""
    weight, bias = (learned[channel : channel + 1] for learned in (layer.weight, layer.bias))
    return exact_maps(image[None], Layer(weight, bias, layer.ladder), scale)[0, 0]


def exact_maps(x: Tensor, layer: Layer, scale: int) -> Tensor:
    """One scale's answers with their border, (n, o, H', W')."""
    side = layer.ladder.sides[scale]
    answers = F.conv2d(
        x.double(),
        plain_kernel(layer, side).double(),
        layer.bias.double(),
        padding=side // 2 if layer.ladder.padding else 0,
    )
    return F.pad(answers.to(x.dtype), (layer.ladder.border(scale),) * 4)


def exact_answers(x: Tensor, layer: Layer, places: Tensor, wanted: Tensor) -> Tensor:
    """Answers at places (P, 4), n, o, i and j, at the scales wanted of each, else -inf, (P, S)."""
    ladder = layer.ladder
    answers = x.new_full(wanted.shape, -torch.inf)
    margin = ladder.sides[-1] // 2 if ladder.padding else 0
    framed = F.pad(x, (margin,) * 4)
    for scale, side in enumerate(ladder.sides):
        here = wanted[:, scale].nonzero().flatten()
        first = margin - side // 2 if ladder.padding else -scale
        kernels = plain_kernel(layer, side)
        patches = framed.unfold(2, side, 1).unfold(3, side, 1)
        for some in here.split(max(1, MOST_TAPS // kernels[0].numel())):
            n, o, i, j = places[some].T
            seen = patches[n, :, i + first, j + first].double()
            found = torch.einsum("pcab,pcab->p", seen, kernels[o].double())
            answers[some, scale] = (found + layer.bias[o].double()).to(x.dtype)
    return answers
