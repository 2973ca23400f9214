"""A convolution with kernels that are sums of functions known at several scales."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.fast.large_kernel import large_conv2d
from siconvnet.fast.winners import scaled_peak, trim
from siconvnet.kernel_bank import KernelBank, zero_margins
from siconvnet.layers import Device, GlobalMaxPool, bias_of, check_channels, check_room
from siconvnet.modes.transformed import by_the_book


class SESConv2d(nn.Module):
    """Convolve with kernels steered to several scales: sums of fixed functions known at each.

    The first layer (``lifting``) shows the image to all scales; later layers answer at each scale
    to that scale of their input only.

    Shape:   (N, C, H, W) if lifting, else (N, C, S, H, W) -> (N, O, S, H - K + 1, W - K + 1), K the
             side of the basis functions.
    Learned: ``weight``, (O, C, F) if lifting, else (O, C, 1, F), and ``bias`` (O,), one for all
             scales.
    Source:  Sosnovik et al. (2020), arXiv:1910.11093; DISCO basis: Sosnovik et al. (2021),
             arXiv:2106.02733.

    >>> layer = SESConv2d(1, 4, basis=torch.ones(9, 2, 5, 5), lifting=True)
    >>> layer(torch.zeros(2, 1, 12, 10)).shape
    torch.Size([2, 4, 2, 8, 6])
    """

    basis: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        basis: Tensor,
        lifting: bool,
        plain: bool = False,
        bias: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        extent = () if lifting else (1,)
        size = (out_channels, in_channels, *extent, len(basis))
        self.weight = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.bias = nn.Parameter(self.weight.new_zeros(out_channels)) if bias else None
        home = None if self.weight.is_meta else device  # a basis keeps its values
        kept = basis.to(device=home, dtype=self.weight.dtype)
        self.register_buffer("basis", kept, persistent=False)
        self.margins = zero_margins(basis)
        self.lifting = lifting
        self.plain = plain
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        copies = [x] * len(self.margins) if self.lifting else x.unbind(2)
        kernels = zip(copies, self.kernels(), self.margins, strict=True)
        if by_the_book(self, x):
            responses = [F.conv2d(maps, kernel, self.bias) for maps, kernel, _ in kernels]
        else:
            responses = [
                large_conv2d(trim(maps, margin), trim(kernel, margin), bias_of(self))
                for maps, kernel, margin in kernels
            ]
        return torch.stack(responses, dim=2)

    def kernels(self) -> Tensor:
        """The kernel of each scale, (S, O, C, K, K)."""
        return torch.einsum("ocf,fsij->socij", self.weight.flatten(2), self.basis.to(self.weight))

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, over scales and places, (N, O)."""
        if by_the_book(self, x) or self.lifting:
            return GlobalMaxPool()(self(x))
        self.check_input(x)
        return scaled_peak(x, self.kernels(), self.bias, margins=self.margins)

    def bank(self) -> KernelBank:
        """The kernels of all scales, and how they are framed."""
        return KernelBank(self.kernels(), self.bias, self.margins, 0)

    def check_input(self, x: Tensor) -> None:
        """Refuse an input that the kernels do not fit, or with other axes or channels."""
        check_channels(x, self.weight.shape[1], ndim=4 if self.lifting else 5)
        check_room(x, self.basis.shape[-1])
