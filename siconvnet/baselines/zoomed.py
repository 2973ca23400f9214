"""A convolution of the image in several sizes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.baselines.initial import conv2d_bias, conv2d_weight
from siconvnet.fast.zoomed import zoomed_peak, zoomed_response
from siconvnet.layers import Device, GlobalMaxPool, bias_of, check_channels, check_room
from siconvnet.modes.transformed import by_the_book
from siconvnet.resample import check_kernel_size, zoom


class KanazawaConv2d(nn.Module):
    """Convolve copies of the image in several sizes with one kernel, and keep the largest answer.

    Each copy is resized, centred in a frame of the image's size, convolved; the answer is resized
    back, framed again, and compared with the others pixel by pixel.

    Shape:   (N, C, H, W) -> (N, O, H - k + 1, W - k + 1).
    Learned: ``weight`` (O, C, k, k) and ``bias`` (O,).
    Source:  Kanazawa et al. (2014), arXiv:1412.5104.

    >>> KanazawaConv2d(1, 4, 3)(torch.zeros(2, 1, 12, 10)).shape
    torch.Size([2, 4, 10, 8])
    """

    factors = tuple(1.26**exponent for exponent in range(-2, 4))

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
        super().__init__()
        check_kernel_size(kernel_size)
        self.plain = plain
        size = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = conv2d_weight(size, device, dtype)
        self.bias = conv2d_bias(self.weight) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        if not by_the_book(self, x):
            return zoomed_response(x, self.weight, bias_of(self), self.factors)
        return torch.stack([self.scale_response(x, f) for f in self.factors]).max(dim=0).values

    def scale_response(self, x: Tensor, factor: float) -> Tensor:
        """The kernel's answer to the image resized by ``factor``, in the image's own frame."""
        return zoom(F.conv2d(zoom(x, factor), self.weight, self.bias), 1 / factor)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, (N, O)."""
        if by_the_book(self, x):
            return GlobalMaxPool()(self(x))
        self.check_input(x)
        return zoomed_peak(x, self.weight, bias_of(self), self.factors)

    def check_input(self, x: Tensor) -> None:
        """Refuse an image that the kernel does not fit, or with another number of channels."""
        check_channels(x, self.weight.shape[1], ndim=4)
        check_room(x, self.weight.shape[-1])
