"""A convolution with one kernel stretched to several sizes, one column of maps each."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.baselines.initial import conv2d_bias, conv2d_weight
from siconvnet.fast.winners import scaled_peak, trim
from siconvnet.kernel_bank import KernelBank, zero_margins
from siconvnet.layers import Device, GlobalMaxPool, check_channels
from siconvnet.modes.transformed import by_the_book
from siconvnet.resample import check_kernel_size, shrunk


class XuConv2d(nn.Module):
    """Convolve with one kernel stretched to five sizes, one column of maps each.

    The first layer shows the image to all columns, later layers keep the columns apart. Each
    stretched kernel has the L1 norm of the learned one. The published code stretches the kernel
    *with its zero frame* of 11 x 11, so that sides 3, 5, 7, 9, 11 become 1, 3, 7, 6, 7;
    ``corrected`` stretches the kernel itself, as the method's paper means it.

    Shape:   (N, C, H, W) for the first layer or (N, C, 5, H, W) -> (N, O, 5, H, W).
    Learned: ``weight`` (O, C, k, k); ``bias`` (O,) only if asked for, the method has none.
    Source:  Xu et al. (2014), arXiv:1411.6369.

    >>> XuConv2d(1, 4, 7)(torch.zeros(2, 1, 12, 12)).shape
    torch.Size([2, 4, 5, 12, 12])
    """

    frame = 11
    sides = (3, 5, 7, 9, 11)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        corrected: bool = False,
        plain: bool = False,
        bias: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_kernel_size(kernel_size)
        if kernel_size > self.frame:
            raise ValueError(
                f"xu has room for kernels of at most {self.frame}; got kernel_size {kernel_size}."
            )
        self.corrected = corrected
        self.plain = plain
        size = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = conv2d_weight(size, device, dtype)
        self.bias = conv2d_bias(self.weight) if bias else None
        ones = self.stretched(torch.ones(1, 1, kernel_size, kernel_size, device="cpu"))
        if not ones.flatten(1).any(1).all():
            raise ValueError(
                f"A kernel that is stretched with its frame must not vanish; of kernel_size "
                f"{kernel_size} nothing is left. Take 3 or more, or corrected=True."
            )
        self.margins = zero_margins(ones[:, 0].transpose(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        copies = [x] * len(self.sides) if x.ndim == 4 else x.unbind(2)
        plain = by_the_book(self, x)
        margins = [0 if plain else margin for margin in self.margins]
        responses = [
            F.conv2d(maps, trim(kernel, margin), self.bias, padding=self.frame // 2 - margin)
            for maps, kernel, margin in zip(copies, self.kernels(), margins, strict=True)
        ]
        return torch.stack(responses, dim=2)

    def kernels(self) -> Tensor:
        """The kernel of each column, (5, O, C, 11, 11), each as loud as the learned one."""
        kernels = self.stretched(self.weight)
        loudness = self.weight.abs().sum((2, 3), keepdim=True)
        return kernels * (loudness / kernels.abs().sum((3, 4), keepdim=True))

    def stretched(self, weight: Tensor) -> Tensor:
        """A kernel stretched to all sides, each zero-padded to one frame, (5, O, C, 11, 11)."""
        framed = self.framed(weight)
        source = weight if self.corrected else framed
        kernel_size = weight.shape[-1]
        return torch.stack(
            [
                framed
                if side == kernel_size
                else self.framed(resized(source, side, enlarge=side > kernel_size))
                for side in self.sides
            ]
        )

    def framed(self, kernel: Tensor) -> Tensor:
        """The kernel in the middle of an 11 x 11 frame of zeros."""
        return trim(kernel, (kernel.shape[-1] - self.frame) // 2)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, over columns and places, (N, O)."""
        if by_the_book(self, x) or x.ndim == 4:
            return GlobalMaxPool()(self(x))
        self.check_input(x)
        padding = self.frame // 2
        return scaled_peak(x, self.kernels(), self.bias, margins=self.margins, padding=padding)

    def bank(self) -> KernelBank:
        """The kernels of all columns, and how they are framed."""
        return KernelBank(self.kernels(), self.bias, self.margins, self.frame // 2)

    def check_input(self, x: Tensor) -> None:
        """Refuse an input with other axes, columns or channels."""
        check_channels(x, self.weight.shape[1], ndim=x.ndim if x.ndim == 5 else 4)
        if x.ndim == 5 and x.shape[2] != len(self.sides):
            raise ValueError(
                f"An input in columns must have {len(self.sides)}, one for each of the sides "
                f"{', '.join(map(str, self.sides))}; got {x.shape[2]}."
            )


def resized(kernel: Tensor, side: int, *, enlarge: bool) -> Tensor:
    """A kernel of another side, interpolated as the published code does either way."""
    if not enlarge:
        return shrunk(kernel, side)
    if side == kernel.shape[-1]:  # the frame itself
        return kernel
    return F.interpolate(kernel, size=(side, side), mode="nearest")
