"""Which scale a ``SiConv2d`` is pooled to, and the answers of that scale.

Scales are compared group by group as their answers come. Of equal answers the first in the plain
formulation wins; what rounding could decide otherwise, black patches above all, is decided by what
the patch holds. Axes as in ``siconv_spectrum``.
"""

import torch
from torch import Tensor

from siconvnet.fast.siconv_correlator import Correlator
from siconvnet.fast.siconv_spectrum import ScaleGroup, Spectrum
from siconvnet.modes.constants import constant
from siconvnet.resample import Ladder, resize_matrix

NO_SCALE = -1  # where the zeros around a big kernel's answer were larger than any answer


def largest_at_each_pixel(
    correlator: Correlator, bias: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The largest answer over scales and its scale, both (i, j, n, o)."""
    spectrum = correlator.spectrum
    first, *others = spectrum.groups
    value, scale = largest_of_group(first, correlator.answers(first))
    largest = value + bias if not others else value.clone()
    choice = torch.zeros_like(largest, dtype=torch.int16) if isinstance(scale, int) else scale
    for group in others:
        value, scale = largest_of_group(group, correlator.answers(group))
        best, chosen = largest[group.inner], choice[group.inner]
        # Scales grow, so the last one that won is the largest.
        won = (value > best).to(choice.dtype).mul_(scale)
        torch.maximum(chosen, won, out=chosen)
        torch.maximum(best, value, out=best)
    if others:
        largest += bias
    # The zeros around bigger kernels' answers win from answers below zero, not from rounded zeros.
    rim = (spectrum.reach < spectrum.ladder.num_scales - 1)[:, :, None, None]
    zeros = rim & (largest < -noise)
    return largest.masked_fill_(zeros, 0), choice.masked_fill_(zeros, NO_SCALE)


def largest_of_group(group: ScaleGroup, answers: Tensor) -> tuple[Tensor, Tensor | int]:
    """The largest of a group's answers, (i, j, n, o), and its scale; overwrites what means nothing.

    The scale is a number if there is but one.
    """
    if len(group.scales) == 1:
        return answers[..., 0], group.scales.start
    if group.beyond is not None:
        answers.masked_fill_(group.beyond, -torch.inf)
    value, place = answers.max(dim=-1)
    return value, place.to(torch.int16).add_(group.scales.start)


def loudest_slice(
    correlator: Correlator, bias: Tensor, black_scales: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The answers, (i, j, n, o), of the scale with the largest one, and that scale, (n, o)."""
    spectrum = correlator.spectrum
    blackest = black_scales.amax((1, 2))[:, None, None]
    pooled = choice = loudest = None
    for group in spectrum.groups:
        answers = correlator.answers(group)
        peak, place = group_loudness(answers, group, bias, blackest, noise).max(dim=-1)
        found = scale_of_group(answers, place)
        if pooled is None or choice is None or loudest is None:
            pooled, choice, loudest = found.clone(), place, peak
            continue
        loudest, won = torch.stack([loudest, peak]).max(dim=0)
        won = won.bool()
        choice = torch.where(won, place + group.scales.start, choice)
        torch.where(won, found, pooled[group.inner], out=pooled[group.inner])
    assert pooled is not None
    assert choice is not None
    return surrounded(pooled + bias, choice, spectrum), choice


def group_loudness(
    answers: Tensor, group: ScaleGroup, bias: Tensor, blackest: Tensor, noise: Tensor
) -> Tensor:
    """The largest answer of each scale of a group, (n, o, s); overwrites what means nothing.

    ``blackest`` says how many scales see nothing but black somewhere in an image, (n, 1, 1).
    """
    if group.beyond is not None:
        answers.masked_fill_(group.beyond, -torch.inf)
    peak = answers.amax((0, 1))
    # A black patch answers with the bias exactly, at every scale that it holds.
    quiet = (blackest > group.numbers) & (peak <= noise[:, :, None])
    return torch.maximum(peak.masked_fill_(quiet, 0) + bias[:, None], group.floor)


def chosen_slices(correlator: Correlator, bias: Tensor, choice: Tensor) -> Tensor:
    """The answers of one given scale of each image and channel, (i, j, n, o)."""
    spectrum = correlator.spectrum
    if spectrum.one_by_one:
        pooled = bias.new_zeros(*spectrum.answer_size, choice.numel())
        for group, pairs in pairs_of_groups(choice, spectrum):
            found = correlator.answers(group, pairs).flatten(2)
            pooled[group.inner].index_copy_(2, pairs, found)
        pooled = pooled.unflatten(2, choice.shape)
    else:
        pooled = None
        for group in spectrum.groups:
            place = choice - group.scales.start
            last = len(group.scales) - 1
            found = scale_of_group(correlator.answers(group), place.clamp(0, last))
            if pooled is None:
                pooled = found
                continue
            here = pooled[group.inner]
            torch.where((place >= 0) & (place <= last), found, here, out=here)
        assert pooled is not None
    return surrounded(pooled + bias, choice, spectrum)


def scale_of_group(answers: Tensor, place: Tensor) -> Tensor:
    """One scale of each image and channel: (i, j, n, o, s) and (n, o) -> (i, j, n, o)."""
    if answers.shape[-1] == 1:
        return answers[..., 0]
    return answers.gather(-1, place[..., None].expand(*answers.shape[:-1], 1)).squeeze(-1)


def surrounded(pooled: Tensor, choice: Tensor, spectrum: Spectrum) -> Tensor:
    """Answers with zeros where the chosen kernel does not stay inside the image."""
    if spectrum.ladder.padding:
        return pooled
    return pooled.masked_fill_(spectrum.reach[:, :, None, None] < choice, 0)


def pairs_of_groups(choice: Tensor, spectrum: Spectrum) -> list[tuple[ScaleGroup, Tensor]]:
    """The groups, of one scale each, that any image and channel has chosen, and which of (n o)."""
    choice = choice.flatten()
    counts = choice.bincount(minlength=len(spectrum.groups)).tolist()
    pairs = choice.argsort(stable=True).split(counts)
    chosen = zip(spectrum.groups, pairs, strict=True)
    return [(group, members) for group, members in chosen if len(members)]


@torch.no_grad()
def loudest_sum(
    x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str
) -> Tensor | None:
    """The scale that energy pooling keeps, (n, o), without answering; None for other modes."""
    if mode not in ("energy", "energy_valid"):
        return None
    return answer_sums(x, weight, bias, ladder, mode).max(dim=0).indices


def answer_sums(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """The sums of each scale's answers, for ``energy_valid`` their means, (s, n, o).

    The sum of all answers weighs each pixel by the sum of the kernel's taps that meet it.
    """
    height, width = x.shape[2:]
    rows = meeting_taps(height, ladder, x.dtype, x.device)
    columns = meeting_taps(width, ladder, x.dtype, x.device)
    seen = torch.einsum("sah,nchw->scanw", rows, x)
    seen = torch.einsum("scanw,sbw->sncab", seen, columns)
    sums = seen.flatten(2) @ weight.flatten(1).T
    counts = answer_counts(height, width, ladder, x.dtype, x.device)
    return sums / counts + bias if mode == "energy_valid" else sums + counts * bias


@constant
def meeting_taps(
    image_side: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """For each scale, learned tap and pixel the sum of the taps that meet it, (S, k, pixels)."""
    met = []
    for side, answers in zip(ladder.sides, ladder.inner_sides(image_side), strict=True):
        first = side // 2 if ladder.padding else 0
        answer = torch.arange(image_side)[:, None] - torch.arange(side) + first
        meets = ((answer >= 0) & (answer < answers)).double()
        resize = resize_matrix(ladder.kernel_size, side, ladder.interpolation, dtype)
        met.append((meets @ resize.double()).T * (ladder.kernel_size / side))
    return torch.stack(met).to(dtype).to(device)


@constant
def answer_counts(
    height: int, width: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """How many answers each scale gives to an image, (S, 1, 1)."""
    sides = zip(ladder.inner_sides(height), ladder.inner_sides(width), strict=True)
    counts = [inner_height * inner_width for inner_height, inner_width in sides]
    return torch.tensor(counts, dtype=dtype)[:, None, None].to(device)


def clearance(x: Tensor, spectrum: Spectrum) -> Tensor:
    """How many scales, counted from the smallest, see nothing but black, (n, i, j)."""
    ladder = spectrum.ladder
    lit = x.ne(0).any(dim=1)
    rows, columns = (
        distances(side, answers, x.device)
        for side, answers in zip(x.shape[2:], spectrum.answer_size, strict=True)
    )
    # The Chebyshev distance of each answer's centre to the next lit pixel, one axis at a time.
    nearest = torch.where(lit[:, :, None], columns, FAR).amin(3)  # n h j
    nearest = torch.maximum(nearest[:, None], rows[:, :, None]).amin(2)  # n i j
    black_scales = (nearest - ladder.kernel_size // 2).clamp_(min=0)
    return torch.minimum(black_scales, spectrum.reach + 1)


FAR = 2**14  # pixels, more than any image has


@constant
def distances(image_side: int, answers: int, device: torch.device) -> Tensor:
    """How far each pixel along an axis is from the centre of each answer, (i, h)."""
    pixels = torch.arange(image_side, dtype=torch.int16)
    first = (image_side - answers) // 2
    return (pixels[first : first + answers, None] - pixels).abs().to(device)


def rounding(x: Tensor, weight: Tensor) -> Tensor:
    """How far rounding may move an answer, for each image and channel, (n, o)."""
    brightest = torch.linalg.vector_norm(x, torch.inf, dim=(2, 3))
    taps = torch.linalg.vector_norm(weight, 1, dim=(2, 3))
    return (brightest @ taps.T) * (8 * torch.finfo(x.dtype).eps)
