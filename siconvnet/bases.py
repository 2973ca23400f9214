"""Bases of steerable filters: a kernel is a learned sum of functions fixed at every scale.

A basis has axes (function, scale, row, column) and is float32; see ``docs/bases.md``.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 15  # pixels, of every function on every scale
MAX_ORDER = 4  # of a Hermite function, both axes together
HERMITE_SCALES = (2.0, 2.52, 3.17, 4.0)  # widths of the Gaussian, pixels
HERMITE_SHRINK = 1.5  # each further width is this much smaller
LEAST_NORM = 0.1  # of a function at the smallest scale, in units of its largest norm


def steerable_basis(name: str, kernel_size: int = 7) -> Tensor:
    """Functions whose learned sums are the kernels of a scale-equivariant steerable convolution.

    ``kernel_size ** 2`` functions, as many as a plain kernel of that size has weights. The answer
    is the caller's own: changing it changes no later answer.

    Shape:  (kernel_size ** 2, 4, 15, 15), axes function, scale, row, column; float32.
    Units:  each function has L2 norm 1 at the smallest scale.
    Source: ``hermite``: Sosnovik et al. (2020), arXiv:1910.11093; ``disco``: Sosnovik et al.
            (2021), arXiv:2106.02733.

    >>> steerable_basis("hermite", kernel_size=3).shape
    torch.Size([9, 4, 15, 15])
    """
    if name not in BASES:
        raise ValueError(f"A steerable basis must be one of {tuple(BASES)}; got {name!r}.")
    if kernel_size % 2 == 0 or not 1 <= kernel_size <= SIDE:
        raise ValueError(
            f"kernel_size must be odd and at most {SIDE}, the side of a steerable kernel; "
            f"got {kernel_size}."
        )
    return BASES[name](kernel_size).clone()


@cache
def hermite_basis(kernel_size: int) -> Tensor:
    """Hermite functions of four widths, each with its first orders and narrower copies."""
    functions = torch.stack([_padded_hermite(width, kernel_size**2) for width in HERMITE_SCALES], 1)
    return _normalised(functions).float()


def _padded_hermite(width: float, count: int) -> Tensor:
    """Hermite functions on the grid that holds this width, with zeros around it."""
    side = 2 * (math.floor(SIDE * width / HERMITE_SCALES[-1]) // 2) + 1
    functions = hermite_functions(side, width=width, shrink=HERMITE_SHRINK, count=count)
    return F.pad(functions, [(SIDE - side) // 2] * 4)


def hermite_functions(side: int, *, width: float, shrink: float, count: int) -> Tensor:
    """The first ``count`` products of two 1-D Hermite functions, (count, side, side) in float64.

    Fifteen products, of order 4 and less in both axes together, have the Gaussian's ``width`` in
    pixels, the next fifteen a width smaller by ``shrink``, and so on. They are not normalised.
    """
    orders = [(i, j) for i in range(MAX_ORDER + 1) for j in range(MAX_ORDER + 1 - i)]
    functions: list[Tensor] = []
    for step in range(math.ceil(count / len(orders))):
        lines = _hermite_lines(side, width / shrink**step)
        functions += [torch.outer(lines[j], lines[i]) for i, j in orders]
    return torch.stack(functions[:count])


def _hermite_lines(side: int, width: float) -> list[Tensor]:
    """exp(-u^2 / 2) He_n(u) / width at u = pixel / width, for n = 0 .. MAX_ORDER."""
    u = (torch.arange(side, dtype=torch.float64) - side // 2) / width
    polynomials = [torch.ones_like(u), u]
    for n in range(1, MAX_ORDER):  # the recurrence of the probabilists' Hermite polynomials
        polynomials.append(u * polynomials[n] - n * polynomials[n - 1])
    return [torch.exp(-u.square() / 2) * polynomial / width for polynomial in polynomials]


def _normalised(functions: Tensor) -> Tensor:
    """Divide each function, at all scales alike, by its L2 norm at the smallest scale.

    From ``kernel_size`` 9 on some functions are so narrow that the pixel grid hardly meets them at
    the smallest scale; dividing by next to nothing would make them the whole kernel (up to 1e22
    for 11, infinite for 15). Those are divided by their largest norm, and zero stays zero.
    """
    norms = functions.square().sum((-2, -1)).sqrt()
    smallest, largest = norms[:, 0], norms.amax(1)
    divisor = torch.where(smallest < LEAST_NORM * largest, largest, smallest)
    divisor = torch.where(divisor == 0, 1.0, divisor)
    return functions / divisor[:, None, None, None]


BASES: Mapping[str, Callable[[int], Tensor]] = {"hermite": hermite_basis}
