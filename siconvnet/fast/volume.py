"""The largest answer of a convolution over (scale, y, x), as it follows a dense ``SiConv2d``.

The two image axes are taken to the frequency domain; along the scales, where a kernel is not much
shorter than its input, the sum is taken as it stands. One frequency of the columns is followed at a
time, so that what is worked on stays in the cache.

Axes in names and comments: n images, c channels in, o channels out, s scales, h and w pixels, i and
j pixels of the answer, u frequencies along the rows (all), v along the columns (half; the rest is
conjugate), 2 real and imaginary part.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.fast.fourier import Transform
from siconvnet.precision import above_autocast, full_precision

ROUNDING_UNITS = 64  # of the largest answer that rounding may be


@above_autocast
def volume_peak(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The largest answers of ``conv3d``, differentiable.

    Of answers that differ by no more than rounding the first is taken.

    Shape: x (N, C, S, H, W), weight (O, C, d, k, k), bias (O,) -> (N, O).
    """
    with torch.no_grad(), full_precision(x.device):
        corners = winning_corners(x, weight)
    seen = cubes(x, corners, weight.shape[2:])
    peak = torch.einsum("nopc,opc->no", seen, weight.flatten(2).transpose(1, 2))
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


def winning_corners(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, row and column of the largest answer of each image and channel, each (N, O)."""
    n, _, scales, _, width = x.shape
    o, _, depth, side, _ = weight.shape
    transform = Transform(width, x.shape[3], x.dtype, x.device)
    lines = answer_lines(transform, x, weight)  # (v 2) i (s n o)
    synthesis = transform.row_synthesis(width - side + 1)
    answer = x.new_empty(len(synthesis), lines.shape[2])
    extremes = []
    for line in lines.unbind(1):
        torch.mm(synthesis, line, out=answer)
        extremes.append(torch.stack([answer.amax(0), answer.amin(0).neg_()]))
    shape = (2, len(extremes), scales - depth + 1, n * o)
    peaks, lows = torch.stack(extremes, dim=1).view(shape).transpose(1, 2)  # s i (n o)
    loudest = torch.maximum(peaks, lows).amax((0, 1))
    largest = peaks.amax((0, 1)) - loudest * (ROUNDING_UNITS * torch.finfo(x.dtype).eps)
    first = (peaks.flatten(0, 1) >= largest).to(torch.uint8).argmax(0)
    scale, row = first // peaks.shape[1], first % peaks.shape[1]
    pair = torch.arange(n * o, device=x.device)
    winning = synthesis @ lines.unflatten(2, (-1, n * o))[:, row, scale, pair]
    column = (winning >= largest).to(torch.uint8).argmax(0)
    return scale.view(n, o), row.view(n, o), column.view(n, o)


def answer_lines(transform: Transform, x: Tensor, weight: Tensor) -> Tensor:
    """The answers with their columns still in the frequency domain, ((v 2), i, (s n o))."""
    n, c, scales, height, width = x.shape
    o, _, depth, side, _ = weight.shape
    answer_scales = scales - depth + 1
    half = torch.stack(transform.waves(width // 2 + 1, width, width), dim=1)  # v 2 w
    images = column_spectra(half, x.permute(4, 2, 3, 0, 1))
    kernels = column_spectra(half[..., :side], weight.permute(4, 2, 3, 1, 0))
    rows = torch.stack(transform.waves(height, height, height))  # 2 u h
    back = inverse(rows)[:, : height - side + 1].flatten(0, 1)
    # What the real and the imaginary part of a column give for both parts.
    forth = torch.stack([rows, torch.stack([-rows[1], rows[0]])]).flatten(1, 2)
    lines = x.new_empty(len(half), len(back), answer_scales * n * o)
    answer = x.new_empty(2, height, answer_scales * n, o)
    for v in range(len(half)):
        seen = row_spectra(forth, images[v]).view(scales, 2, height, n, c)
        seen = seen.permute(2, 0, 3, 1, 4).reshape(height, scales * n, 2 * c)
        taps = row_spectra(forth[..., :side], kernels[v]).view(depth, 2, height, c, o)
        for part, kernel in zip(answer, conjugate_factors(taps), strict=True):
            for d in range(depth):
                slid = seen[:, d * n : (d + answer_scales) * n]
                torch.baddbmm(part, slid, kernel[d], beta=float(d > 0), out=part)
        torch.mm(back, answer.view(2 * height, -1), out=lines[v])
    return lines.view(2 * len(half), height - side + 1, -1)


def column_spectra(half: Tensor, x_wshm: Tensor) -> Tensor:
    """(w, s, h, a, b) to (v, 2, s, h, (a b))."""
    shape = x_wshm.shape[1:3]
    return (half.flatten(0, 1) @ x_wshm.flatten(1)).view(*half.shape[:2], *shape, -1)


def row_spectra(forth: Tensor, columns: Tensor) -> Tensor:
    """One frequency of the columns, (2, s, h, m), to all of the rows, (s, (2 u), m)."""
    real, imag = forth[:, None].expand(-1, columns.shape[1], -1, -1)
    return torch.bmm(real, columns[0]).baddbmm_(imag, columns[1])


def conjugate_factors(taps: Tensor) -> tuple[Tensor, Tensor]:
    """What (real, imaginary) of an image is multiplied by for those of the correlation.

    From (d, 2, u, c, o) to two of (d, u, (2 c), o).
    """
    real, imag = taps.unbind(1)
    return torch.cat([real, imag], dim=2), torch.cat([-imag, real], dim=2)


def inverse(waves: Tensor) -> Tensor:
    """From all frequencies' waves (2, u, h) to the matrix (2, h, (2 u)) back to pixels."""
    cosine, sine = (wave.T / waves.shape[1] for wave in (waves[0], -waves[1]))
    return torch.stack([torch.cat([cosine, -sine], dim=1), torch.cat([sine, cosine], dim=1)])
