"""The largest answer of a convolution over (scale, y, x), as it follows a dense ``SiConv2d``.

The two image axes are taken to the frequency domain; along the scales, where a kernel is not much
shorter than its input, the sum is taken as it stands. The frequencies of the columns and the rows
of the answer are taken in portions (see ``grouping``).

Axes in names and comments: n images, c channels in, o channels out, s scales, h and w pixels, i and
j pixels of the answer, u frequencies along the rows (all), v along the columns (half; the rest is
conjugate), 2 real and imaginary part.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.fast.fourier import half_synthesis, half_waves, inverse, matrix, waves
from siconvnet.fast.grouping import portions
from siconvnet.fast.winners import not_finite_as, unravel
from siconvnet.modes.precision import above_autocast, full_precision
from siconvnet.modes.transformed import not_compiled

ROUNDING_UNITS = 64  # of the largest answer that rounding may be


@not_compiled
@above_autocast
def volume_peak(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The largest answers of ``conv3d``, differentiable.

    Of answers that differ by no more than rounding the first is taken.

    Shape: x (N, C, S, H, W), weight (O, C, d, k, k), bias (O,) -> (N, O).
    """
    with torch.no_grad(), full_precision(x.device):
        corners, largest = winning_corners(x, weight)
    seen = cubes(x, corners, weight.shape[2:])
    peak = torch.einsum("nopc,opc->no", seen, weight.flatten(2).transpose(1, 2))
    peak = not_finite_as(largest, peak)
    return peak if bias is None else peak + bias


def cubes(x: Tensor, corners: tuple[Tensor, ...], sides: tuple[int, ...]) -> Tensor:
    """The part of ``x`` that begins at each corner: (N, C, S, H, W), three (N, O) -> (N, O, p, C).

    It is read as a table of channels, the order in which a dense ``SiConv2d`` answers.
    """
    n = x.shape[0]
    place = torch.zeros_like(corners[0])[..., None]
    for corner, side, size in zip(corners, sides, x.shape[2:], strict=True):
        pixel = corner[..., None] + torch.arange(side, device=x.device)
        place = (place[..., None] * size + pixel[:, :, None]).flatten(2)
    image = torch.arange(n, device=x.device)[:, None, None]
    return F.embedding(place * n + image, x.permute(2, 3, 4, 0, 1).reshape(-1, x.shape[1]))


def winning_corners(x: Tensor, weight: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Scale, row and column of the largest answer of each image and channel, and it, each (N, O).

    The answer itself is that of the search, up to rounding.
    """
    n, _, scales, _, width = x.shape
    o, _, depth, side, _ = weight.shape
    lines = answer_lines(x, weight)  # (v 2) i (s n o)
    synthesis = half_synthesis(width, width - side + 1, x.dtype, x.device).flatten(1)
    shape = (lines.shape[1], scales - depth + 1, n * o)
    peaks, lows = (part.view(shape).transpose(0, 1) for part in extremes(synthesis, lines))
    loudest = torch.maximum(peaks, -lows).amax((0, 1))  # of s i (n o)
    largest = peaks.amax((0, 1)) - loudest * (ROUNDING_UNITS * torch.finfo(x.dtype).eps)
    first = (peaks.flatten(0, 1) >= largest).max(0).indices
    scale, row = unravel(first, peaks.shape[:2])
    pair = torch.arange(n * o, device=x.device)
    winning = synthesis @ lines.unflatten(2, (-1, n * o))[:, row, scale, pair]
    column = (winning >= largest).max(0).indices
    corners = scale.view(n, o), row.view(n, o), column.view(n, o)
    return corners, largest.view(n, o)


def extremes(synthesis: Tensor, lines: Tensor) -> tuple[Tensor, Tensor]:
    """The largest and the smallest answer of each row, each (i, (s n o))."""
    _, height, answers = lines.shape
    rows = portions(height, len(synthesis) * answers, lines.device)
    most = max(part.stop - part.start for part in rows) * answers
    buffer = lines.new_empty(len(synthesis) * most)
    peaks, lows = [], []
    for part in rows:
        of_rows = lines[:, part].flatten(1)
        answer = buffer[: len(synthesis) * of_rows.shape[1]].view(len(synthesis), -1)
        torch.mm(synthesis, of_rows, out=answer)
        peaks.append(answer.amax(0))
        lows.append(answer.amin(0))
    return torch.cat(peaks), torch.cat(lows)


def answer_lines(x: Tensor, weight: Tensor) -> Tensor:
    """The answers with their columns still in the frequency domain, ((v 2), i, (s n o))."""
    n, c, scales, height, width = x.shape
    o, _, depth, side, _ = weight.shape
    slid = (scales - depth + 1) * n
    half = half_waves(width, width, x.dtype, x.device)  # 2 v w
    forth = forward_parts(height, height, x.dtype, x.device)
    back = inverse(height, height - side + 1, x.dtype, x.device)
    images = column_spectra(half, x.permute(4, 2, 3, 0, 1))
    kernels = column_spectra(half[..., :side], weight.permute(4, 2, 3, 1, 0))
    lines = x.new_empty(half.shape[1], back.shape[1], slid * o)
    for part in portions(len(lines), max(c, o) * 2 * scales * n * height, x.device):
        v = part.stop - part.start
        seen = row_spectra(forth, images[:, part]).view(v, scales, 2, height, n, c)
        seen = seen.permute(0, 3, 1, 4, 2, 5).reshape(v * height, scales * n, 2 * c)
        taps = row_spectra(forth[..., :side], kernels[:, part])
        taps = conjugate_factors(taps.view(v, depth, 2, height, c, o))
        answer = x.new_empty(v * height, slid, o)
        for number, (of_part, factor) in enumerate(zip(back, taps, strict=True)):
            for d in range(depth):
                window = seen[:, d * n : d * n + slid]
                torch.baddbmm(answer, window, factor[d], beta=float(d > 0), out=answer)
            torch.baddbmm(
                lines[part], of_part.expand(v, -1, -1), answer.view(v, height, -1),
                beta=float(number > 0), out=lines[part],
            )  # fmt: skip
    return lines.view(2 * half.shape[1], height - side + 1, -1)


@matrix
def forward_parts(period: int, pixels: int) -> Tensor:
    """What the real and the imaginary part of a column give for both, (2, (2 u), h)."""
    real, imag = waves(period, pixels, period)
    return torch.stack([torch.cat([real, imag]), torch.cat([-imag, real])])


def column_spectra(half: Tensor, x_wshm: Tensor) -> Tensor:
    """(w, s, h, a, b) to (2, v, s, h, (a b))."""
    shape = x_wshm.shape[1:3]
    return (half.flatten(0, 1) @ x_wshm.flatten(1)).view(*half.shape[:2], *shape, -1)


def row_spectra(forth: Tensor, columns: Tensor) -> Tensor:
    """Some frequencies of the columns, (2, v, s, h, m), to all of the rows, (v, s, (2 u), m)."""
    v, s = columns.shape[1:3]
    real, imag = columns.flatten(1, 2)
    of_real, of_imag = forth[:, None].expand(-1, v * s, -1, -1)
    return torch.bmm(of_real, real).baddbmm_(of_imag, imag).unflatten(0, (v, s))


def conjugate_factors(taps: Tensor) -> tuple[Tensor, Tensor]:
    """What (real, imaginary) of an image is multiplied by for those of the correlation.

    From (v, d, 2, u, c, o) to two of (d, (v u), (2 c), o).
    """
    real, imag = taps.permute(1, 2, 0, 3, 4, 5).unbind(1)
    factors = torch.cat([real, imag], dim=3), torch.cat([-imag, real], dim=3)
    return factors[0].flatten(1, 2), factors[1].flatten(1, 2)
