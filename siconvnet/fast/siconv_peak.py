"""The largest answer of a pooled ``SiConv2d`` in each image, without the other answers' gradients.

All scales are searched without autograd for the row of the largest answer; the answers of that row
are then computed in separable form, ``A_s^T patch A_s`` against the learned kernel, and the largest
of them is differentiated. Axes as in ``siconv_spectrum``; a and b count a kernel's taps.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.fast.precision import full_precision
from siconvnet.fast.siconv_response import loudest_sum, pairs_of_scales, rounding
from siconvnet.fast.siconv_spectrum import Correlator, Spectrum, make_spectrum
from siconvnet.resample import Ladder, resize_matrix


def pooled_peak(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """What a global maximum finds in ``pooled_response``: (N, C, H, W) -> (N, O).

    Of equal answers the one that comes first in the plain formulation receives the gradient.
    """
    with full_precision(x.device):
        spectrum = make_spectrum(x.shape[2], x.shape[3], ladder, x.dtype, x.device)
        return torch.cat(
            [peak_of_pass(images, weight, bias, spectrum, mode) for images in spectrum.passes(x)]
        )


def peak_of_pass(x: Tensor, weight: Tensor, bias: Tensor, spectrum: Spectrum, mode: str) -> Tensor:
    """The peaks of as many images as are searched at once."""
    n, o = x.shape[0], weight.shape[0]
    ladder = spectrum.ladder
    choice = loudest_sum(x, weight, bias, ladder) if mode == "energy" else None
    scale, row = winning_rows(x, weight, spectrum, choice)
    value = row_peak(x, weight, ladder, scale, row) + bias
    if ladder.padding or ladder.num_scales == 1:
        return value
    if choice is None:
        return value.clamp(min=0)  # the zeros around some kernel's answers
    return torch.where(choice.view(n, o) > 0, value.clamp(min=0), value)


@torch.no_grad()
def winning_rows(
    x: Tensor, weight: Tensor, spectrum: Spectrum, choice: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Scale and row, counted from the scale's first answer, of each largest answer, (N, O)."""
    ladder = spectrum.ladder
    parts = spectrum.kernel_parts(weight)
    correlator = Correlator(spectrum, spectrum.image_blocks(x), parts)
    scales, rows = row_numbers(x.shape[2], ladder, x.device)
    if choice is None:
        peaks = torch.cat([found.amax(1) for _, found in correlator.responses()])
    else:
        peaks = x.new_full((len(rows), len(choice)), -torch.inf)
        of_scales = peaks.split(ladder.inner_sides(x.shape[2]))
        for number, pairs in pairs_of_scales(choice, ladder):
            found = correlator.response(number, pairs).amax(1)
            of_scales[number].index_copy_(1, pairs, found)
    largest, loudest = peaks.max(0)
    first = (peaks >= largest - rounding(x, weight)).to(torch.uint8).argmax(0)
    size = (x.shape[0], weight.shape[0])
    found_first, found_loudest = (
        (scales[winner].view(size), rows[winner].view(size)) for winner in (first, loudest)
    )
    if torch.equal(first, loudest):
        return found_first
    return first_unless_louder(x, weight, ladder, found_first, found_loudest)


def first_unless_louder(
    x: Tensor,
    weight: Tensor,
    ladder: Ladder,
    first: tuple[Tensor, Tensor],
    loudest: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Scales and rows after a look at the exact answers of two rows that the search cannot tell.

    A patch that is black at some scale is black at the smallest, so the order of the scales serves
    every way of pooling.
    """
    first_peak = row_peak(x, weight, ladder, *first)
    loudest_peak = row_peak(x, weight, ladder, *loudest)
    louder = loudest_peak > first_peak + loudest_peak.abs() * slack(x)
    return torch.where(louder, loudest[0], first[0]), torch.where(louder, loudest[1], first[1])


def slack(x: Tensor) -> float:
    """Within which share of each other two sums of the same terms in another order stay."""
    return 8 * torch.finfo(x.dtype).eps


@functools.lru_cache(maxsize=32)
def row_numbers(image_height: int, ladder: Ladder, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale and number of each row of the scales' answers, laid one below the other."""
    with torch.inference_mode(False):
        heights = ladder.inner_sides(image_height)
        scales = torch.cat([torch.full((height,), s) for s, height in enumerate(heights)])
        rows = torch.cat([torch.arange(height) for height in heights])
        return scales.to(device), rows.to(device)


def row_peak(x: Tensor, weight: Tensor, ladder: Ladder, scale: Tensor, row: Tensor) -> Tensor:
    """The largest answer, without bias, of one row of one scale of each image and channel."""
    n, c, height, width = x.shape
    o, _, k, _ = weight.shape
    taps = placed_taps(height, ladder, scale, row, x)
    x_nhcw = x.transpose(1, 2).reshape(n, height, c * width)
    seen = torch.bmm(taps.view(n, o * k, height), x_nhcw).view(n, o, k * c, width)
    mixed = weight.permute(0, 3, 2, 1).reshape(o, k, k * c) @ seen  # (n, o, b, w)
    column = first_largest_column(mixed.detach(), ladder, scale)
    return (mixed * placed_taps(width, ladder, scale, column, x)).sum((2, 3))


def first_largest_column(mixed: Tensor, ladder: Ladder, scale: Tensor) -> Tensor:
    """Column, counted from the scale's first answer, of the largest answer of a row, (n, o)."""
    n, o, _, width = mixed.shape
    answers = ladder.answer_side(width)
    taps = tap_table(ladder, mixed.dtype, mixed.device)  # (scales, b, t)
    longest = taps.shape[2]
    first = longest // 2 if ladder.padding else 0
    products = F.pad(mixed.transpose(2, 3), (0, 0, first, longest)) @ taps[scale]  # (n, o, w, t)
    row = products.shape[2] * longest
    # An answer is the sum of a diagonal: tap t meets pixel answer + t.
    diagonals = products.as_strided((n, o, answers, longest), (o * row, row, longest, longest + 1))
    found = diagonals.sum(3)
    beyond = answers - 2 * (0 if ladder.padding else scale)
    column = torch.arange(answers, device=mixed.device)
    found.masked_fill_(column >= torch.as_tensor(beyond)[..., None], -torch.inf)
    largest = found.amax(2, keepdim=True)
    return (found >= largest - largest.abs() * slack(mixed)).to(torch.uint8).argmax(2)


def placed_taps(
    image_side: int, ladder: Ladder, scale: Tensor, answer: Tensor, like: Tensor
) -> Tensor:
    """The taps where a scale's kernel gives an answer, zeros elsewhere: (n, o, k, image_side)."""
    taps = tap_table(ladder, like.dtype, like.device)
    longest = taps.shape[2]
    answers = ladder.answer_side(image_side)
    first = longest // 2 if ladder.padding else 0
    slide = F.pad(taps, (answers - 1, max(0, image_side + first - longest)))
    return slide.unfold(2, image_side, 1)[scale, :, answers - 1 + first - answer]


@functools.lru_cache(maxsize=32)
def tap_table(ladder: Ladder, dtype: torch.dtype, device: torch.device) -> Tensor:
    """How much of each learned tap is in each tap of each scale's kernel: (S, k, longest side).

    Shorter kernels are centred between zeros with ``padding`` and start at 0 without.
    """
    with torch.inference_mode(False), torch.no_grad():
        k, longest = ladder.kernel_size, ladder.sides[-1]
        table = torch.zeros(ladder.num_scales, k, longest, dtype=dtype, device=device)
        for scale, side in enumerate(ladder.sides):
            first = (longest - side) // 2 if ladder.padding else 0
            resize = resize_matrix(k, side, ladder.interpolation, dtype, device)
            table[scale, :, first : first + side] = resize.T * (k / side)
        return table
