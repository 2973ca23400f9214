"""Layers of prior work that the benchmark compares with, in their plain form.

Each is a stage of a network: calling it returns its maps; ``peak`` returns only the largest
response of each image and channel. Layers with several scales keep them on their own axis (S).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.fast.large_kernel import large_conv2d
from siconvnet.fast.volume import volume_peak
from siconvnet.fast.winners import conv_peak, scaled_peak, trim
from siconvnet.fast.zoomed import zoomed_peak, zoomed_response
from siconvnet.kernel_bank import KernelBank
from siconvnet.layers import GlobalMaxPool, check_channels, check_room
from siconvnet.modes.transformed import needs_plain_form
from siconvnet.resample import check_kernel_size, zoom


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
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=padding)
        self.plain = plain

    def forward(self, input: Tensor) -> Tensor:
        check_channels(input, self.in_channels, ndim=4)
        return super().forward(input)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, (N, O)."""
        # What is compiled is the plain form: its search is one whole graph without settings.
        if by_the_book(self, x) or torch.compiler.is_compiling():
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
        self, in_channels: int, out_channels: int, kernel_size: int, *, plain: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.plain = plain

    def forward(self, input: Tensor) -> Tensor:
        check_channels(input, self.in_channels, ndim=5)
        return super().forward(input)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, (N, O)."""
        if by_the_book(self, x):
            return GlobalMaxPool()(self(x))
        check_channels(x, self.in_channels, ndim=5)
        return volume_peak(x, self.weight, self.bias)


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
        self, in_channels: int, out_channels: int, kernel_size: int, *, plain: bool = False
    ) -> None:
        super().__init__()
        check_kernel_size(kernel_size)
        self.plain = plain
        self.weight = conv2d_weight(in_channels, out_channels, kernel_size)
        self.bias = conv2d_bias(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        if not by_the_book(self, x):
            return zoomed_response(x, self.weight, self.bias, self.factors)
        return torch.stack([self.scale_response(x, f) for f in self.factors]).max(dim=0).values

    def scale_response(self, x: Tensor, factor: float) -> Tensor:
        """The kernel's answer to the image resized by ``factor``, in the image's own frame."""
        return zoom(F.conv2d(zoom(x, factor), self.weight, self.bias), 1 / factor)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, (N, O)."""
        if by_the_book(self, x):
            return GlobalMaxPool()(self(x))
        self.check_input(x)
        return zoomed_peak(x, self.weight, self.bias, self.factors)

    def check_input(self, x: Tensor) -> None:
        """Refuse an image that the kernel does not fit, or with another number of channels."""
        check_channels(x, self.weight.shape[1], ndim=4)
        check_room(x, self.weight.shape[-1])


class XuConv2d(nn.Module):
    """Convolve with one kernel stretched to five sizes, one column of maps each; no bias.

    The first layer shows the image to all columns, later layers keep the columns apart. Each
    stretched kernel has the L1 norm of the learned one. The published code stretches the kernel
    *with its zero frame* of 11 x 11, so that sides 3, 5, 7, 9, 11 become 1, 3, 7, 6, 7;
    ``corrected`` stretches the kernel itself, as the method's paper means it.

    Shape:   (N, C, H, W) for the first layer or (N, C, 5, H, W) -> (N, O, 5, H, W).
    Learned: ``weight`` (O, C, k, k).
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
    ) -> None:
        super().__init__()
        check_kernel_size(kernel_size)
        if kernel_size > self.frame:
            raise ValueError(
                f"xu has room for kernels of at most {self.frame}; got kernel_size {kernel_size}."
            )
        self.corrected = corrected
        self.plain = plain
        self.weight = conv2d_weight(in_channels, out_channels, kernel_size)
        ones = torch.ones(1, 1, kernel_size, kernel_size, device="cpu")
        self.margins = zero_margins(
            torch.stack([self.stretched(ones, side)[0] for side in self.sides], dim=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        copies = [x] * len(self.sides) if x.ndim == 4 else x.unbind(2)
        plain = by_the_book(self, x)
        margins = [0 if plain else margin for margin in self.margins]
        responses = [
            F.conv2d(maps, trim(kernel, margin), padding=self.frame // 2 - margin)
            for maps, kernel, margin in zip(copies, self.kernels(), margins, strict=True)
        ]
        return torch.stack(responses, dim=2)

    def kernels(self) -> Tensor:
        """The kernel of each column, (5, O, C, 11, 11), each as loud as the learned one."""
        kernels = torch.stack([self.stretched(self.weight, side) for side in self.sides])
        loudness = self.weight.abs().sum((2, 3), keepdim=True)
        return kernels * (loudness / kernels.abs().sum((3, 4), keepdim=True))

    def stretched(self, weight: Tensor, side: int) -> Tensor:
        """A kernel stretched to ``side``, zero-padded to the frame of all columns."""
        kernel_size = weight.shape[-1]
        if side == kernel_size:
            return self.framed(weight)
        source = weight if self.corrected else self.framed(weight)
        if side > kernel_size:
            return self.framed(F.interpolate(source, size=(side, side), mode="nearest"))
        grid = F.interpolate(source, size=(side, side), mode="bilinear", align_corners=True)
        return self.framed(grid)

    def framed(self, kernel: Tensor) -> Tensor:
        """The kernel in the middle of an 11 x 11 frame of zeros."""
        return F.pad(kernel, ((self.frame - kernel.shape[-1]) // 2,) * 4)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, over columns and places, (N, O)."""
        if by_the_book(self, x) or x.ndim == 4:
            return GlobalMaxPool()(self(x))
        self.check_input(x)
        return scaled_peak(x, self.kernels(), None, margins=self.margins, padding=self.frame // 2)

    def bank(self) -> KernelBank:
        """The kernels of all columns, and how they are framed."""
        return KernelBank(self.kernels(), None, self.margins, self.frame // 2)

    def check_input(self, x: Tensor) -> None:
        """Refuse an input with other axes, columns or channels."""
        check_channels(x, self.weight.shape[1], ndim=x.ndim if x.ndim == 5 else 4)
        if x.ndim == 5 and x.shape[2] != len(self.sides):
            raise ValueError(
                f"An input in columns must have {len(self.sides)}, one for each of the sides "
                f"{', '.join(map(str, self.sides))}; got {x.shape[2]}."
            )


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
    ) -> None:
        super().__init__()
        extent = () if lifting else (1,)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *extent, len(basis)))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("basis", basis.to(self.weight.dtype), persistent=False)
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
                large_conv2d(trim(maps, margin), trim(kernel, margin), self.bias)
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


def by_the_book(layer: nn.Module, x: Tensor) -> bool:
    """Whether a layer computes in its plain form."""
    return bool(layer.plain) or needs_plain_form(x)


def zero_margins(basis: Tensor) -> tuple[int, ...]:
    """How many rows and columns of zeros surround all functions of a scale, for each scale."""
    side = basis.shape[-1]
    if basis.device.type == "meta":  # no values to read
        return (0,) * basis.shape[1]
    distance = (torch.arange(side, device="cpu") - side // 2).abs()
    ring = torch.maximum(distance[:, None], distance)
    used = basis.ne(0).any(dim=0).cpu()
    return tuple(side // 2 - int((ring * scale).max()) for scale in used)


def conv2d_weight(in_channels: int, out_channels: int, kernel_size: int) -> nn.Parameter:
    """A weight as ``torch.nn.Conv2d`` draws it."""
    weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
    nn.init.kaiming_uniform_(weight, a=5**0.5)
    return weight


def conv2d_bias(weight: Tensor) -> nn.Parameter:
    """The bias that ``torch.nn.Conv2d`` draws after that weight."""
    bound = 1 / math.sqrt(weight[0].numel())
    return nn.Parameter(torch.empty(len(weight)).uniform_(-bound, bound))
