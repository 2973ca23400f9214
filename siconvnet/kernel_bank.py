"""The kernels of a layer that answers at several scales, each with its own."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class KernelBank:
    """Kernels of one side; ``margins`` says how many rows and columns of zeros surround each."""

    kernels: Tensor  # (S, O, C, K, K)
    bias: Tensor | None  # (O,), one for all scales
    margins: tuple[int, ...]
    padding: int  # zeros around the images, in pixels
