"""PyTorch's convolutions, with the ``peak`` that a last stage needs."""

from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from siconvnet.fast.volume import volume_peak
from siconvnet.fast.winners import conv_peak
from siconvnet.kernel_bank import KernelBank
from siconvnet.layers import Device, GlobalMaxPool, check_channels
from siconvnet.modes.transformed import by_the_book
from siconvnet.resample import check_square


class Conv2d(nn.Conv2d):
    """PyTorch's convolution, with the ``peak`` that a last stage needs.

    Shape:   (N, C, H, W) -> (N, O, H - k + 1 + 2 * padding, W - k + 1 + 2 * padding).
    Learned: ``weight`` (O, C, k, k) and ``bias`` (O,).
    Source:  ``torch.nn.Conv2d``.

    >>> Conv2d(1, 4, 3).peak(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        padding: int = 0,
        plain: bool = False,
        bias: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_square(kernel_size)
        check_padding(padding)
        options: Any = {"bias": bias, "device": device, "dtype": dtype}
        super().__init__(in_channels, out_channels, kernel_size, padding=padding, **options)
        self.plain = plain

    def forward(self, input: Tensor) -> Tensor:
        check_channels(input, self.in_channels, ndim=4)
        return super().forward(input)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, (N, O)."""
        # What is compiled is the plain form: its search is one whole graph without settings.
        if by_the_book(self, x) or torch.compiler.is_compiling() or not is_ordinary(self):
            return GlobalMaxPool()(self(x))
        check_channels(x, self.in_channels, ndim=4)
        return conv_peak(x, self.weight, self.bias, padding=int(self.padding[0]))

    def bank(self) -> KernelBank:
        """The one kernel, and how it is framed."""
        return KernelBank(self.weight[None], self.bias, (0,), int(self.padding[0]))


class Conv3d(nn.Conv3d):
    """PyTorch's convolution over (scale, y, x), with the ``peak`` that a last stage needs.

    Shape:   (N, C, S, H, W) -> (N, O, S - k + 1, H - k + 1, W - k + 1).
    Learned: ``weight`` (O, C, k, k, k) and ``bias`` (O,).
    Source:  ``torch.nn.Conv3d``.

    >>> Conv3d(1, 4, 3).peak(torch.zeros(2, 1, 5, 8, 8)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        plain: bool = False,
        bias: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_square(kernel_size)
        options: Any = {"bias": bias, "device": device, "dtype": dtype}
        super().__init__(in_channels, out_channels, kernel_size, **options)
        self.plain = plain

    def forward(self, input: Tensor) -> Tensor:
        check_channels(input, self.in_channels, ndim=5)
        return super().forward(input)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, (N, O)."""
        if by_the_book(self, x) or not is_ordinary(self):
            return GlobalMaxPool()(self(x))
        check_channels(x, self.in_channels, ndim=5)
        return volume_peak(x, self.weight, self.bias)


def check_padding(padding: object) -> None:
    """Refuse a frame that is not one number of pixels."""
    if not isinstance(padding, Integral) or int(padding) < 0:
        raise ValueError(
            f"padding must be one whole number of pixels, 0 or more; got {padding!r:.60}, and "
            "kernel_size // 2 lets an odd kernel answer to every pixel."
        )


def is_ordinary(layer: nn.Conv2d | nn.Conv3d) -> bool:
    """Whether the layer is as it was built: PyTorch lets other strides and such be set later on."""
    one = (1,) * len(layer.kernel_size)
    frames = {layer.padding[:1] * len(one)} if isinstance(layer, nn.Conv2d) else {(0, 0, 0)}
    return (
        (layer.stride, layer.dilation, layer.groups) == (one, one, 1)
        and layer.padding_mode == "zeros"
        and layer.padding in frames
    )
