"""The scales that a pooled ``SiConv2d`` chooses, where they are an answer of their own.

As in ``siconvnet.compiled.choices``: scales whose answers differ by as little as rounding are
computed again by the book, in double precision, and of equal ones the first is taken.
"""

import torch
from torch import Tensor

from siconvnet.exact import Layer, exact_answers, exact_map, exact_maps
from siconvnet.fast.siconv_choice import (
    answer_sums,
    chosen_slices,
    clearance,
    group_loudness,
    rounding,
)
from siconvnet.fast.siconv_correlator import Correlator
from siconvnet.fast.siconv_response import joined
from siconvnet.fast.siconv_spectrum import Spectrum, spectrum_of
from siconvnet.modes.precision import full_precision
from siconvnet.modes.transformed import not_compiled
from siconvnet.resample import Ladder

MOST_IN_DOUBT = 0.02  # of all answers; where rounding decides more, all are computed again


def is_decidable(*tensors: Tensor) -> bool:
    """Whether these are ordinary tensors with values, all of them finite."""
    return not torch._C._len_torch_dispatch_stack() and all(
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.device.type != "meta"
        and bool(tensor.detach().sum().isfinite())
        for tensor in tensors
    )


@not_compiled
@torch.no_grad()
def pooled_choice(
    x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str
) -> tuple[Tensor, Tensor] | None:
    """What ``ScalePool(mode)`` keeps, and its indices; None where only the plain form can say."""
    if not is_decidable(x, weight, bias):
        return None
    layer = Layer(weight, bias, ladder)
    pooled, indices = [], []
    with full_precision(x.device):
        for images in spectrum_of(x, len(weight), ladder).passes(x):
            if mode == "pixel":
                found = pixel_choice(images, layer)
            else:
                choice = (
                    slice_choice(images, layer)
                    if mode == "slice"
                    else sum_choice(images, layer, mode)
                )
                found = answers_of(images, layer, choice), choice
            pooled.append(found[0])
            indices.append(found[1])
    return joined(pooled), joined(indices)


def pixel_choice(x: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """The largest answer of each pixel, and its scale."""
    weight, bias, ladder = layer
    spectrum = spectrum_of(x, len(weight), ladder)
    black_scales = clearance(x, spectrum)
    answers = competing_answers(x, layer, spectrum, black_scales)
    largest, choice = answers.max(dim=0)
    # Rounding errors of channels are independent of each other.
    enough = largest - 2 * rounding(x, weight) / x.shape[1] ** 0.5
    close = torch.zeros_like(choice, dtype=torch.uint8)
    for of_scale in answers:
        close += of_scale >= enough
    i, j, n, o = (close > 1).nonzero().T
    wanted = (answers[:, i, j, n, o] >= enough[i, j, n, o]).T
    if int(wanted.sum()) > MOST_IN_DOUBT * answers.numel():
        return exact_pixel_choice(x, layer)
    pooled = (largest + bias).masked_fill_(choice > spectrum.reach[:, :, None, None], 0)
    places = torch.stack([n, o, i, j], dim=1)
    scales = torch.arange(ladder.num_scales, device=x.device)
    inside = spectrum.reach[i, j].long()[:, None]
    black = wanted & (scales < black_scales[n, i, j][:, None])
    frame = wanted & (scales > inside)
    exact = exact_answers(x, layer, places, wanted & ~black & ~frame)
    exact = torch.where(black, bias[o][:, None], exact).masked_fill_(frame, 0)
    pooled[i, j, n, o], choice[i, j, n, o] = exact.max(dim=1)
    return pooled.permute(2, 3, 0, 1), choice.permute(2, 3, 0, 1)


def exact_pixel_choice(x: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """The same of flat images, say, whose scales all answer almost alike."""
    pooled = exact_maps(x, layer, 0)
    choice = torch.zeros_like(pooled, dtype=torch.long)
    for scale in range(1, layer.ladder.num_scales):
        answers = exact_maps(x, layer, scale)
        choice.masked_fill_(answers > pooled, scale)
        pooled = torch.maximum(pooled, answers)
    return pooled, choice


def competing_answers(x: Tensor, layer: Layer, spectrum: Spectrum, black_scales: Tensor) -> Tensor:
    """Each scale's answers without bias, (s, i, j, n, o), -inf where an earlier one is as large.

    Of the scales that see nothing but black the first answers, and the first of those whose answer
    is surrounded by zeros has these.
    """
    weight, bias, ladder = layer
    correlator = Correlator(spectrum, spectrum.image_blocks(x), spectrum.kernel_parts(weight))
    shape = (ladder.num_scales, *spectrum.answer_size, correlator.n, correlator.o)
    answers = x.new_empty(shape)
    black_ijn = black_scales.permute(1, 2, 0)[..., None]
    blackest = int(black_scales.max())
    for group in spectrum.groups:
        found = correlator.answers(group)
        for place, scale in enumerate(group.scales):
            here = answers[scale]
            here[group.inner] = found[..., place]
            if scale < blackest:
                here.masked_fill_(black_ijn > scale, -torch.inf if scale else 0)
            outside = spectrum.reach < scale
            here[outside] = -torch.inf
            here[outside & (spectrum.reach == scale - 1)] = -bias
    return answers


def slice_choice(x: Tensor, layer: Layer) -> Tensor:
    """The scale with the largest answer, (n, o)."""
    weight, bias, ladder = layer
    spectrum = spectrum_of(x, len(weight), ladder)
    correlator = Correlator(spectrum, spectrum.image_blocks(x), spectrum.kernel_parts(weight))
    blackest, noise = clearance(x, spectrum).amax((1, 2))[:, None, None], rounding(x, weight)
    loudness = torch.cat(
        [
            group_loudness(correlator.answers(group), group, bias, blackest, noise)
            for group in spectrum.groups
        ],
        dim=2,
    )
    choice = loudness.max(dim=2).indices
    close = loudness >= (loudness.amax(2) - 2 * noise)[:, :, None]
    exact = (loudness == 0) | (loudness == bias[:, None])  # zeros around answers; answers to black
    doubtful = (close.sum(2) > 1) & (close & ~exact).any(2)
    for n, o in doubtful.nonzero().tolist():
        scales = close[n, o].nonzero().flatten().tolist()
        peaks = [exact_map(x[n], layer, o, scale).amax() for scale in scales]
        choice[n, o] = scales[int(torch.stack(peaks).max(dim=0).indices)]
    return choice


def sum_choice(x: Tensor, layer: Layer, mode: str) -> Tensor:
    """The scale whose answers, or their mean, sum to most, (n, o)."""
    weight, bias, ladder = layer
    sums = answer_sums(x.double(), weight.double(), bias.double(), ladder, mode)
    return sums.to(x.dtype).max(dim=0).indices


def answers_of(x: Tensor, layer: Layer, choice: Tensor) -> Tensor:
    """The answers of one given scale of each image and channel, (n, o, i, j)."""
    weight, bias, ladder = layer
    spectrum = spectrum_of(x, len(weight), ladder)
    correlator = Correlator(spectrum, spectrum.image_blocks(x), spectrum.kernel_parts(weight))
    return chosen_slices(correlator, bias, choice).permute(2, 3, 0, 1)
