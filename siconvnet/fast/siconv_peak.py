"""The largest answer of a pooled ``SiConv2d`` in each image, without the other answers' gradients.

All scales are searched without autograd for the row of the largest answer; the answers of that row
are then computed in separable form, ``A_s^T patch A_s`` against the learned kernel, and the largest
of them is differentiated. Axes as in ``siconv_spectrum``; a and b count a kernel's taps, m rows
that are candidates for the largest answer.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.fast.siconv_choice import loudest_sum, pairs_of_groups, rounding
from siconvnet.fast.siconv_correlator import Correlator
from siconvnet.fast.siconv_response import joined
from siconvnet.fast.siconv_spectrum import Spectrum, spectrum_of
from siconvnet.modes.constants import constant
from siconvnet.modes.precision import full_precision
from siconvnet.resample import Ladder, resize_matrix


def pooled_peak(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """What a global maximum finds in ``pooled_response``: (N, C, H, W) -> (N, O).

    Of equal answers the one that comes first in the plain formulation receives the gradient.
    """
    with full_precision(x.device):
        spectrum = spectrum_of(x, len(weight), ladder)
        return joined(
            [peak_of_pass(images, weight, bias, spectrum, mode) for images in spectrum.passes(x)]
        )


def peak_of_pass(x: Tensor, weight: Tensor, bias: Tensor, spectrum: Spectrum, mode: str) -> Tensor:
    """The peaks of as many images as are searched at once."""
    ladder = spectrum.ladder
    choice = loudest_sum(x, weight, bias, ladder, mode)
    value = answers_at(x, weight, ladder, *winners(x, weight, spectrum, choice)) + bias
    if ladder.padding or ladder.num_scales == 1:
        return value
    zeros_won = value.clamp(min=0)  # the zeros around some kernel's answers
    return zeros_won if choice is None else torch.where(choice > 0, zeros_won, value)


@torch.no_grad()
def winners(
    x: Tensor, weight: Tensor, spectrum: Spectrum, choice: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, row and column, counted from the scale's first answer, of each largest answer, (N, O).

    The search cannot distinguish answers that differ by rounding, so the exact answers of two rows
    are compared, the first that may be largest and the loudest. A patch that is black at some scale
    is black at the smallest, so the order of the scales serves every way of pooling.
    """
    scale, row = candidate_rows(x, weight, spectrum, choice)
    column, value = largest_in_row(x, weight, spectrum.ladder, scale, row)
    first, loudest = value.unbind(1)
    louder = loudest > first + loudest.abs() * slack(x)
    scale, row, column = (
        torch.where(louder, place[:, 1], place[:, 0]) for place in (scale, row, column)
    )
    return scale, row, column


def slack(x: Tensor) -> float:
    """Within which share of each other two sums of the same terms in another order stay."""
    return 8 * torch.finfo(x.dtype).eps


def candidate_rows(
    x: Tensor, weight: Tensor, spectrum: Spectrum, choice: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Scales and rows of the first answer that may be the largest and of the loudest, (n, m, o)."""
    parts = spectrum.kernel_parts(weight)
    correlator = Correlator(spectrum, spectrum.image_blocks(x), parts)
    peaks = row_peaks(correlator, choice)  # (s i), n, o
    largest, loudest = peaks.max(0)
    first = (peaks >= largest - rounding(x, weight)).max(0).indices
    place = torch.stack([first, loudest], dim=1)
    return spectrum.row_scales[place], spectrum.row_numbers[place]


def row_peaks(correlator: Correlator, choice: Tensor | None) -> Tensor:
    """The largest answer without bias of each row of each scale, or of the chosen scale alone.

    Shape: (rows of all groups, n, o), as the spectrum counts them; -inf for other scales.
    """
    spectrum = correlator.spectrum
    if choice is not None and spectrum.one_by_one:
        shape = (len(spectrum.row_scales), choice.numel())
        peaks = correlator.blocks.new_full(shape, -torch.inf)
        of_scales = peaks.split([len(group.to_rows) for group in spectrum.groups])
        for group, pairs in pairs_of_groups(choice, spectrum):
            found = correlator.answers(group, pairs).amax(1).flatten(1)
            of_scales[group.scales.start].index_copy_(1, pairs, found)
        return peaks.unflatten(1, choice.shape)
    peaks = []
    for group in spectrum.groups:
        found = correlator.answers(group)
        if group.beyond is not None:
            found.masked_fill_(group.beyond, -torch.inf)
        found = found.amax(1)  # i n o s
        if choice is not None:
            found.masked_fill_(choice[..., None] != group.numbers, -torch.inf)
        peaks.append(found.permute(3, 0, 1, 2).flatten(0, 1))
    return joined(peaks)


def largest_in_row(
    x: Tensor, weight: Tensor, ladder: Ladder, scale: Tensor, row: Tensor
) -> tuple[Tensor, Tensor]:
    """Column and value, without bias, of the first largest answer in rows of scales, (n, m, o)."""
    n, c, height, width = x.shape
    o, _, k, _ = weight.shape
    shape = scale.shape
    taps = placed_taps(height, ladder, scale, row, x).view(n, -1, height)
    x_nhcw = x.transpose(1, 2).reshape(n, height, c * width)
    seen = torch.bmm(taps, x_nhcw).view(*shape, k * c, width)
    mixed = weight.permute(0, 3, 2, 1).reshape(o, k, k * c) @ seen  # n m o b w
    table = tap_table(ladder, mixed.dtype, mixed.device)  # S b t
    longest = table.shape[2]
    first = longest // 2 if ladder.padding else 0
    lines = F.pad(mixed.view(-1, k, width).transpose(1, 2), (0, 0, first, longest))
    products = torch.bmm(lines, table[scale.flatten()])  # (n m o) w t
    answers = ladder.answer_side(width)
    line = products.shape[1] * longest
    # An answer is the sum of a diagonal: tap t meets pixel answer + t.
    diagonals = products.as_strided((len(lines), answers, longest), (line, longest, longest + 1))
    found = diagonals.sum(2) + beyond_columns(answers, ladder, x.dtype, x.device)[scale.flatten()]
    largest = found.amax(1, keepdim=True)
    column = (found >= largest - largest.abs() * slack(x)).max(1, keepdim=True).indices
    return column.view(shape), found.gather(1, column).view(shape)


def answers_at(
    x: Tensor, weight: Tensor, ladder: Ladder, scale: Tensor, row: Tensor, column: Tensor
) -> Tensor:
    """One answer, without bias, of each image and channel, (n, o), differentiable."""
    n, c, height, width = x.shape
    o, _, k, _ = weight.shape
    of_rows = placed_taps(height, ladder, scale, row, x).view(n, o * k, height)
    of_columns = placed_taps(width, ladder, scale, column, x).view(n * o, k, width)
    seen = torch.bmm(of_rows, x.transpose(1, 2).reshape(n, height, c * width))
    seen = torch.bmm(seen.view(n * o, k * c, width), of_columns.transpose(1, 2))  # (n o) (a c) b
    return (seen.view(n, o, -1) * weight.transpose(1, 2).flatten(1)).sum(2)


def placed_taps(
    image_side: int, ladder: Ladder, scale: Tensor, answer: Tensor, like: Tensor
) -> Tensor:
    """The taps where a scale's kernel gives an answer, zeros elsewhere: (..., k, image_side)."""
    slide, last = sliding_taps(image_side, ladder, like.dtype, like.device)
    return slide.unfold(2, image_side, 1)[scale, :, last - answer]


@constant
def sliding_taps(
    image_side: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, int]:
    """The taps of each scale between zeros, and where in it the image begins for answer 0."""
    taps = tap_table(ladder, dtype, device)
    longest = taps.shape[2]
    answers = ladder.answer_side(image_side)
    first = longest // 2 if ladder.padding else 0
    slide = F.pad(taps, (answers - 1, max(0, image_side + first - longest)))
    return slide, answers - 1 + first


@constant
def beyond_columns(
    answers: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """-inf at the columns, counted from a scale's first, that it does not reach, else 0: (S, j)."""
    reached = [answers - 2 * ladder.border(scale) for scale in range(ladder.num_scales)]
    beyond = torch.arange(answers) >= torch.tensor(reached)[:, None]
    return torch.zeros(beyond.shape, dtype=dtype).masked_fill(beyond, -torch.inf).to(device)


@constant
def tap_table(ladder: Ladder, dtype: torch.dtype, device: torch.device) -> Tensor:
    """How much of each learned tap is in each tap of each scale's kernel: (S, k, longest side).

    Shorter kernels are centred between zeros with ``padding`` and start at 0 without.
    """
    k, longest = ladder.kernel_size, ladder.sides[-1]
    table = torch.zeros(ladder.num_scales, k, longest, dtype=dtype)
    for scale, side in enumerate(ladder.sides):
        first = (longest - side) // 2 if ladder.padding else 0
        resize = resize_matrix(k, side, ladder.interpolation, dtype)
        table[scale, :, first : first + side] = resize.T * (k / side)
    return table.to(device)
