"""The look-up of a basis by name and kernel size."""

from collections.abc import Callable, Mapping

from torch import Tensor

from siconvnet.bases.disco import disco_basis
from siconvnet.bases.hermite import SIDE, hermite_basis

BASES: Mapping[str, Callable[[int], Tensor]] = {"hermite": hermite_basis, "disco": disco_basis}


def steerable_basis(name: str, kernel_size: int = 7) -> Tensor:
    """Functions whose learned sums are the kernels of a scale-equivariant steerable convolution.

    There are ``kernel_size ** 2`` of them, as many as a plain kernel of that size has weights. The
    answer is the caller's own: changing it changes no later answer.

    Shape:  (kernel_size ** 2, 4, 15, 15), axes function, scale, row, column; float32.
    Units:  each function has L2 norm 1 at the smallest scale.
    Source: ``hermite``: Sosnovik et al. (2020), arXiv:1910.11093; ``disco``: Sosnovik et al.
            (2021), arXiv:2106.02733, its least-error kernels in closed form.

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
