"""The largest answers of a convolution, without the gradient of all the others.

Where a network keeps only the largest answer of each image and channel, the gradient reaches one
place of each. So the winners are searched without autograd, and then just those are computed again
from the window of the input that each one sees.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.fast.fourier import spectral_answers
from siconvnet.fast.grouping import portions
from siconvnet.modes.constants import constant
from siconvnet.modes.precision import above_autocast, full_precision
from siconvnet.modes.transformed import not_compiled

CONVOLUTIONS = {4: F.conv2d, 5: F.conv3d}
LARGEST_DIRECT_SIDE = 5  # of a kernel in pixels; larger ones are faster in the frequency domain
ROUNDING_UNITS = 64  # of the largest answer's last place; a transform's error is about 4


@above_autocast
def conv_peak(x: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int = 0) -> Tensor:
    """The largest answers of a convolution over two or three axes, differentiable.

    Shape: x (N, C, ...), weight (O, C, ...), bias (O,) -> (N, O).
    """
    with torch.no_grad(), full_precision(x.device):
        answers = CONVOLUTIONS[x.ndim](channels_last(x), weight, bias, padding=padding)
        best = answers.flatten(2).max(dim=2)
    if not torch.is_grad_enabled():
        return best.values
    places = unravel(best.indices, answers.shape[2:])
    seen = windows(x, places, weight.shape[2:], padding=padding)
    peak = torch.einsum("nop,op->no", seen, weight.flatten(1))
    return peak if bias is None else peak + bias


def channels_last(x: Tensor) -> Tensor:
    """Images in the memory order that convolutions on a CPU are fastest in."""
    if x.ndim == 4 and x.device.type == "cpu":
        return x.contiguous(memory_format=torch.channels_last)
    return x


@not_compiled
@above_autocast
def scaled_peak(
    x: Tensor,
    kernels: Tensor,
    bias: Tensor | None,
    *,
    margins: Sequence[int],
    padding: int = 0,
) -> Tensor:
    """The largest answers over scales and places, where each scale has its own kernel.

    ``margins`` says how many rows and columns of zeros surround the kernel of each scale.

    Shape: x (N, C, S, H, W), kernels (S, O, C, K, K), bias (O,) -> (N, O). Differentiable.
    """
    answers_of_scale = x.shape[0] * len(kernels[0]) * x.shape[3] * x.shape[4]
    groups = portions(len(kernels), answers_of_scale, x.device)
    with torch.no_grad(), full_precision(x.device):
        answers = []
        for group in groups:
            margin = min(margins[group])
            maps = trim(x[:, :, group], margin - padding)
            answers.append(search_answers(maps, trim(kernels[group], margin)))
        scale, row, column, largest = first_largest(answers)
    seen = windows(x, (scale, row, column), (1, *kernels.shape[3:]), padding=padding)
    at_all_scales = torch.einsum("nop,sop->nos", seen, kernels.flatten(2))
    won = selectors(len(kernels), 1, 0, x.dtype, x.device)[scale].squeeze(2)
    peak = (at_all_scales * won).sum(dim=2)
    peak = not_finite_as(largest, peak)
    return peak if bias is None else peak + bias


def search_answers(x: Tensor, kernels: Tensor) -> Tensor:
    """What ``conv2d`` answers at each scale without bias, with the places first.

    Shape: x (N, C, S, H, W), kernels (S, O, C, k, k) -> (I, J, S, N, O).
    """
    if len(kernels) == 1 and kernels.shape[-1] <= LARGEST_DIRECT_SIDE:
        return F.conv2d(x.squeeze(2), kernels[0]).permute(2, 3, 0, 1)[:, :, None]
    return spectral_answers(x, kernels)


def trim(x: Tensor, margin: int) -> Tensor:
    """Without the outer rows and columns of the last two axes; a negative margin adds zeros."""
    if margin == 0:
        return x
    if margin < 0:
        return F.pad(x, (-margin,) * 4)
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin]


def not_finite_as(searched: Tensor, peak: Tensor) -> Tensor:
    """The peak, or NaN where the search met pixels that are not finite, wherever these are."""
    return torch.add(peak, searched, alpha=0)


def first_largest(answers: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scale, row and column of the largest answer of each image and channel, and it, each (N, O).

    ``answers`` holds (I, J, S, N, O) for each group of scales. Answers that differ by no more than
    the rounding of a transform count as equal, and of equal ones the first is taken, as ``max``
    does: on a flat background all places tie, and the gradient should reach the one that it reaches
    elsewhere.
    """
    rows = joined([answer.amax(dim=1) for answer in answers], dim=1).transpose(0, 1)  # S I N O
    lowest = joined([answer.amin(dim=(0, 1)) for answer in answers], dim=0).amin(dim=0)
    largest = rows.amax(dim=(0, 1))
    rounding = ROUNDING_UNITS * torch.finfo(rows.dtype).eps
    enough = largest - rounding * torch.maximum(largest.abs(), lowest.abs())
    scale_row = (rows.flatten(0, 1) >= enough).max(dim=0).indices
    scale, row = unravel(scale_row, rows.shape[:2])
    lines = joined([pick_row(answer, row) for answer in answers], dim=1)  # J S N O
    line = lines.gather(1, scale.expand(len(lines), 1, -1, -1)).squeeze(1)
    return scale, row, (line >= enough).max(dim=0).indices, largest


def joined(parts: list[Tensor], dim: int) -> Tensor:
    """All parts as one tensor; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def pick_row(answer: Tensor, row: Tensor) -> Tensor:
    """One row of each image's and channel's answers: (I, J, S, N, O), (N, O) -> (J, S, N, O)."""
    return answer.gather(0, row.expand(1, *answer.shape[1:])).squeeze(0)


def unravel(flat: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Turn places counted along the flattened axes of ``shape`` into one place an axis."""
    places = []
    for size in reversed(shape):
        places.append(flat % size)
        flat = flat // size
    return tuple(reversed(places))


def windows(
    x: Tensor, corners: Sequence[Tensor], sides: Sequence[int], *, padding: int = 0
) -> Tensor:
    """The part of ``x`` that each winner sees, all channels and pixels in one row.

    ``corners`` holds the first pixel of each window, (N, O), one tensor for each of the trailing
    axes of ``x`` (N, C, ...), counted from ``padding`` zeros before the image along the last two;
    the answer is (N, O, C * pixels). The last two axes are rows and columns; of one before them, if
    there is one, a window holds a single place.
    """
    read = gathered_windows if x.device.type == "cpu" else multiplied_windows
    return read(x, corners, sides, padding)


def gathered_windows(
    x: Tensor, corners: Sequence[Tensor], sides: Sequence[int], padding: int
) -> Tensor:
    """``windows`` read pixel by pixel."""
    inside = flat = None
    for axis, (corner, side) in enumerate(zip(corners, sides, strict=True), start=2):
        pixel = corner[:, :, None] + torch.arange(side, device=x.device)
        if padding and axis >= x.ndim - 2:
            pixel = pixel - padding
            fits = (pixel >= 0) & (pixel < x.shape[axis])
            inside = fits if inside is None else (inside[..., None] & fits[:, :, None]).flatten(2)
            pixel = pixel.clamp(0, x.shape[axis] - 1)
        if flat is None:
            flat = pixel
        else:
            flat = (flat[..., None] * x.shape[axis] + pixel[:, :, None]).flatten(2)
    assert flat is not None  # there is an axis
    channel = torch.arange(x.shape[1], device=x.device) * math.prod(x.shape[2:])
    everywhere = (channel[:, None] + flat[:, :, None]).flatten(1)
    seen = x.flatten(1).gather(1, everywhere).view(*flat.shape[:2], x.shape[1], -1)
    if inside is not None:
        seen = seen * inside[:, :, None]
    return seen.flatten(2)


def multiplied_windows(
    x: Tensor, corners: Sequence[Tensor], sides: Sequence[int], padding: int
) -> Tensor:
    """``windows`` as products with matrices of zeros and ones.

    What pixels lie in several windows add up their gradients, and a GPU that reads them one by one
    does so in any order, or sorts them first.
    """
    n, c, *depth, height, width = x.shape
    *before, row, column = corners
    rows = selectors(height, sides[-2], padding, x.dtype, x.device)[row]  # n o a h
    columns = selectors(width, sides[-1], padding, x.dtype, x.device)[column]  # n o b w
    for size, place in zip(depth, before, strict=True):
        here = selectors(size, 1, 0, x.dtype, x.device)[place]  # n o 1 s
        rows = (here[..., None] * rows[:, :, :, None]).flatten(3)  # n o a (s h)
    x_nhcw = x.movedim(1, -2).reshape(n, -1, c * width)
    with full_precision(x.device):
        seen = torch.bmm(rows.flatten(1, 2), x_nhcw).view(-1, sides[-2] * c, width)
        seen = torch.bmm(seen, columns.flatten(0, 1).mT)  # (n o) (a c) b
    return seen.view(*row.shape, sides[-2], c, sides[-1]).transpose(2, 3).flatten(2)


@constant
def selectors(
    size: int, side: int, padding: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """1 where a pixel of a window is a pixel of an axis, for each first one, (corners, side, size).

    The axis has ``padding`` further pixels at either end, which are zeros.
    """
    eye = F.pad(torch.eye(size, dtype=dtype), (0, 0, padding, padding))
    return eye.unfold(0, side, 1).mT.contiguous().to(device)
