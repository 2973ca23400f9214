"""The scales that a pooled ``SiConv2d`` chooses, where they are an answer of their own.

A scan in the frequency domain cannot distinguish scales whose answers differ by as little as its
rounding. Those few are computed again from the very kernels of the plain form, in double precision,
and of equal ones, as float32 numbers, the first is taken.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.compiled.library import Library
from siconvnet.compiled.siconv import Scan, answer_sums, make_scan, pooled_maps, reach
from siconvnet.compiled.tables import RunnersUpStruct, laid_out
from siconvnet.exact import Layer, exact_map, plain_kernel
from siconvnet.resample import Ladder


@torch.no_grad()
def pooled_choice(
    x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str
) -> tuple[Tensor, Tensor]:
    """What ``ScalePool(mode)`` keeps, and its indices."""
    layer, scan = Layer(weight, bias, ladder), make_scan(x, weight, bias, ladder)
    if mode == "pixel":
        return pixel_choice(x, layer, scan)
    if mode == "slice":
        return slice_choice(x, layer, scan)
    sums = answer_sums(x.double(), weight.double(), bias.double(), ladder, mode)
    choice = sums.float().max(dim=0).indices
    return as_maps(pooled_maps(scan, mode, choice)[0], scan), choice


def as_maps(answers_ijno: Tensor, scan: Scan) -> Tensor:
    return answers_ijno[..., : scan.outputs].permute(2, 3, 0, 1)


def pixel_choice(x: Tensor, layer: Layer, scan: Scan) -> tuple[Tensor, Tensor]:
    """The largest answer of each pixel, and its scale."""
    pooled, choice = scan.maps(), scan.maps(dtype=torch.int32)
    doubt, third, second_choice = scan.maps(), scan.maps(), scan.maps(dtype=torch.int32)
    runners = RunnersUpStruct(doubt.data_ptr(), third.data_ptr(), second_choice.data_ptr())
    # Rounding errors of channels are independent of each other.
    scan.call("pixel_pooled", scan.noise / x.shape[1] ** 0.5, pooled, choice, runners)
    inside = reach(scan.tables)
    indices = as_maps(torch.where(choice < 0, inside + 1, choice).long(), scan)
    pooled, doubt, second_choice = (as_maps(maps, scan) for maps in (pooled, doubt, second_choice))
    places = doubt.nonzero()
    n, o, i, j = places.T
    scales = torch.arange(layer.ladder.num_scales)
    wanted = scales <= inside[i, j, 0, 0][:, None]
    two = (scales == indices[n, o, i, j][:, None]) | (scales == second_choice[n, o, i, j][:, None])
    wanted &= two | (doubt[n, o, i, j] > 2)[:, None]
    answers = exact_answers(x, layer, scan.library, places, wanted)
    framed = inside[i, j, 0, 0] < scales[-1]
    zeros = (scales > inside[i, j, 0, 0][:, None]) & framed[:, None]
    value, scale = answers.masked_fill(zeros, 0).max(dim=1)
    pooled[n, o, i, j], indices[n, o, i, j] = value, scale
    return pooled, indices


def exact_answers(
    x: Tensor, layer: Layer, library: Library, places: Tensor, wanted: Tensor
) -> Tensor:
    """Answers at some places (P, 4) at the scales ``wanted`` of each, elsewhere -inf, (P, S)."""
    ladder = layer.ladder
    answers = torch.full(wanted.shape, -torch.inf)
    margin = ladder.sides[-1] // 2 if ladder.padding else 0
    images = laid_out(library, F.pad(x, (margin,) * 4))
    for scale, side in enumerate(ladder.sides):
        here = wanted[:, scale].nonzero().flatten()
        if not len(here):
            continue
        first = margin - side // 2 if ladder.padding else -scale
        corners = places[here] + torch.tensor([0, 0, first, first])
        kernels = plain_kernel(layer, side).permute(0, 2, 3, 1).contiguous()
        found = torch.empty(len(here))
        library.call(
            "exact_answers",
            *(images.struct, kernels, layer.bias, side, corners.int(), len(here), found),
        )
        answers[here, scale] = found
    return answers


def slice_choice(x: Tensor, layer: Layer, scan: Scan) -> tuple[Tensor, Tensor]:
    """The answers of the scale with the largest one, and that scale, (n, o)."""
    pooled = scan.maps().zero_()
    choice = torch.empty(scan.pairs, dtype=torch.int32)
    loudness = torch.empty(scan.struct.scales, *scan.pairs)
    scan.call("slice_pooled", pooled, choice, loudness)
    pooled, indices = as_maps(pooled, scan), choice[:, : scan.outputs].long()
    loudness, noise = loudness[..., : scan.outputs], scan.noise[:, : scan.outputs]
    close = loudness >= loudness.amax(0) - 2 * noise
    exact = (loudness == 0) | (loudness == layer.bias)  # zeros around answers; answers to black
    doubtful = (close.sum(0) > 1) & (close & ~exact).any(0)
    for n, o in doubtful.nonzero().tolist():
        scales = close[:, n, o].nonzero().flatten().tolist()
        maps = [exact_map(x[n], layer, o, scale) for scale in scales]
        best = torch.stack([each.amax() for each in maps]).max(dim=0).indices
        pooled[n, o], indices[n, o] = maps[best], scales[best]
    return pooled, indices
