"""Hermite functions: products of a Gaussian and a polynomial, scaled by scaling their width.

Source: Sosnovik et al. (2020), arXiv:1910.11093, section 4.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from siconvnet.modes.constants import constant

SIDE = 15  # pixels, of every function at every scale
MAX_ORDER = 4  # of the polynomial, both axes together
WIDTHS = (2.0, 2.52, 3.17, 4.0)  # of the Gaussian at the four scales, pixels
SHRINK = 1.5  # each further width is this much smaller
LEAST_NORM = 0.1  # of a function at the smallest scale, in units of its largest norm


@constant
def hermite_basis(kernel_size: int) -> Tensor:
    """The first ``kernel_size ** 2`` Hermite functions at four scales, (k^2, 4, 15, 15) float32."""
    functions = torch.stack([_at_scale(width, kernel_size**2) for width in WIDTHS], dim=1)
    return normalised(functions).float()


def _at_scale(width: float, count: int) -> Tensor:
    """Hermite functions on the grid that goes with this width, with zeros around it."""
    side = 2 * (math.floor(SIDE * width / WIDTHS[-1]) // 2) + 1
    functions = hermite_functions(side, width=width, shrink=SHRINK, count=count)
    return F.pad(functions, [(SIDE - side) // 2] * 4)


def hermite_functions(side: int, *, width: float, shrink: float, count: int) -> Tensor:
    """The first ``count`` products of two 1-D Hermite functions, not normalised.

    Fifteen products, of order 4 and less in both axes together, have the Gaussian's ``width`` in
    pixels, the next fifteen a width smaller by ``shrink``, and so on.

    Shape: (count, side, side), float64.
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


def normalised(functions: Tensor) -> Tensor:
    """Divide each function, at all its scales alike, by its L2 norm at the smallest scale.

    From ``kernel_size`` 9 on some functions are so narrow that the pixel grid hardly meets them at
    the smallest scale; dividing by next to nothing would make them the whole kernel (1e22 times
    the others for 11, infinite for 15). Those are divided by their largest norm; zero stays zero.

    Shape: (functions, scales, height, width), and the same.
    """
    norms = functions.square().sum((-2, -1)).sqrt()
    smallest, largest = norms[:, 0], norms.amax(1)
    divisor = torch.where(smallest < LEAST_NORM * largest, largest, smallest)
    divisor = torch.where(divisor == 0, 1.0, divisor)
    return functions / divisor[:, None, None, None]
