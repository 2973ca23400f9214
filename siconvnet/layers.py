"""The scale-invariant convolution and its poolings: what they compute.

Each layer's plain form is a few lines of PyTorch, the yardstick of the tests; ``plain=True``
forces it. Without it the same answer comes from ``siconvnet.fast``.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.fast.siconv_response import response
from siconvnet.forms import pooled_choice, pooled_peak, pooled_response
from siconvnet.modes.transformed import needs_plain_form
from siconvnet.resample import (
    Ladder,
    check_interpolation,
    check_kernel_size,
    kernel_sides,
    max_num_scales,
    resize_matrix,
)

POOL_MODES = ("pixel", "slice", "energy", "energy_valid")
Device = torch.device | str | None
FEW_TAPS = 100  # of all kernels together; up to here convolving by the book is faster


class SiConv2d(nn.Module):
    """Convolve with copies of one learned kernel, each enlarged to its own size.

    Copy ``s`` has side ``kernel_size + 2 * s`` and is multiplied by ``(kernel_size / side) ** 2``,
    so that a bigger copy does not answer louder merely because it covers more pixels. Stride is 1.

    Shape:   (N, C, H, W) -> (N, O, S, H - k + 1, W - k + 1); a big kernel's smaller answer is
             centred and surrounded by zeros. With ``padding`` the images are surrounded by zeros
             instead, and every answer is (H, W).
    Units:   every size is a number of pixels.
    Learned: ``weight`` (O, C, k, k) and, unless ``bias=False``, ``bias`` (O,); the count does not
             depend on ``num_scales``.
    Source:  Altstidl et al. (2023), arXiv:2211.10288, section 3.1.

    >>> layer = SiConv2d(3, 16, num_scales=5, kernel_size=7)
    >>> layer(torch.zeros(2, 3, 20, 24)).shape
    torch.Size([2, 16, 5, 14, 18])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_scales: int,
        kernel_size: int,
        interpolation: str = "bicubic",
        padding: bool = False,
        plain: bool = False,
        bias: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_kernel_size(kernel_size)
        check_interpolation(interpolation)
        if num_scales < 1:
            raise ValueError(f"num_scales must be at least 1; got {num_scales}.")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_scales = num_scales
        self.kernel_size = kernel_size
        self.interpolation = interpolation
        self.padding = padding
        self.plain = plain
        size = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.bias = nn.Parameter(self.weight.new_empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight, then bias, from U(-a, a) with a = 1 / sqrt(inputs of one answer)."""
        bound = 1 / math.sqrt(self.in_channels * self.kernel_size**2)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        if self.runs_fast(x) and sum(side**2 for side in self.sides) > FEW_TAPS:
            return response(x, self.weight, bias_of(self), self.ladder)
        return self.plain_response(x)

    def plain_response(self, x: Tensor) -> Tensor:
        """The answer by the book: one convolution a scale."""
        self.check_input(x)
        return torch.stack([self.scale_response(x, side) for side in self.sides], dim=2)

    def runs_fast(self, x: Tensor) -> bool:
        """Whether all scales are computed at once.

        Half precision, empty batches and transformed programs are left to the plain form.
        """
        full = x.dtype in (torch.float32, torch.float64)
        fast = not self.plain and not needs_plain_form(x)
        return fast and full and x.dtype == self.weight.dtype

    @property
    def ladder(self) -> Ladder:
        """What the fast form needs to know about the layer."""
        return Ladder(
            kernel_size=self.kernel_size,
            num_scales=self.num_scales,
            interpolation=self.interpolation,
            padding=self.padding,
        )

    @property
    def sides(self) -> tuple[int, ...]:
        """Side of each copy of the kernel in pixels, smallest first."""
        return kernel_sides(self.kernel_size, self.num_scales)

    def kernel(self, side: int) -> Tensor:
        """The learned kernel resized to ``side``, (O, C, side, side)."""
        resize = resize_matrix(
            self.kernel_size, side, self.interpolation, self.weight.dtype, self.weight.device
        )
        return (self.kernel_size / side) ** 2 * (resize @ self.weight @ resize.T)

    def scale_response(self, x: Tensor, side: int) -> Tensor:
        """What the copy of one size answers, surrounded by zeros to the size of the smallest."""
        if self.padding:
            return F.conv2d(x, self.kernel(side), self.bias, padding=side // 2)
        border = (side - self.kernel_size) // 2
        return F.pad(F.conv2d(x, self.kernel(side), self.bias), (border,) * 4)

    def check_input(self, x: Tensor) -> None:
        """Refuse images that the kernels do not fit, or with another number of channels."""
        check_channels(x, self.in_channels, ndim=4)
        room = max_num_scales(x.shape[2], x.shape[3], self.kernel_size)
        if not self.padding and self.num_scales > room:
            raise ValueError(
                f"num_scales is too large: the largest kernel, {self.sides[-1]} x {self.sides[-1]}"
                f", must fit into the image; got {x.shape[2]} x {x.shape[3]}, "
                f"which allows num_scales <= {room}."
            )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, num_scales={self.num_scales}, "
            f"kernel_size={self.kernel_size}, interpolation={self.interpolation!r}, "
            f"padding={self.padding}, plain={self.plain}, bias={self.bias is not None}"
        )


class ScalePool(nn.Module):
    """Keep one scale of a ``SiConv2d``'s answer; the index of that scale is returned on request.

    ``pixel`` keeps the largest activation at each pixel; ``slice`` the one scale that holds the
    largest activation of an image and channel; ``energy`` the one whose activations sum to most.
    A tie goes to the smallest scale. ``energy`` sums the zeros around a big kernel's answer too, so
    a channel that answers negatively picks the largest kernel: that is how it was published.
    ``energy_valid``, ours, takes the mean without those zeros, the s outermost rows and columns of
    scale s; after a ``SiConv2d`` with padding, which has none of them, use ``energy``.

    Shape:   (N, C, S, H, W) -> (N, C, H, W); indices (N, C, H, W) for ``pixel``, else (N, C).
    Learned: nothing.
    Source:  Altstidl et al. (2023), arXiv:2211.10288.

    >>> x = torch.tensor([[1.0, 5.0], [4.0, 3.0]]).reshape(1, 1, 2, 1, 2)  # 2 scales, 2 pixels
    >>> ScalePool("pixel")(x).flatten().tolist()
    [4.0, 5.0]
    >>> ScalePool("slice")(x).flatten().tolist()
    [1.0, 5.0]
    >>> pooled, indices = ScalePool("energy")(x, return_indices=True)
    >>> pooled.flatten().tolist(), indices.tolist()
    ([4.0, 3.0], [[1]])
    """

    def __init__(self, mode: str) -> None:
        super().__init__()
        if mode not in POOL_MODES:
            raise ValueError(f"mode must be one of {', '.join(POOL_MODES)}; got {mode!r}.")
        self.mode = mode

    def forward(self, x: Tensor, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        if x.ndim != 5:
            raise ValueError(
                "ScalePool takes the five axes (N, C, S, H, W) that SiConv2d answers with; "
                f"got {x.ndim}, of shape {tuple(x.shape)}."
            )
        if self.mode == "pixel":
            pooled, indices = x.max(dim=2)
        else:
            indices = self.loudness(x).max(dim=2).indices
            pooled = take_scale(x, indices)
        return (pooled, indices) if return_indices else pooled

    def loudness(self, x: Tensor) -> Tensor:
        """What the scales of an image and channel compete with, (N, C, S); not for ``pixel``."""
        if self.mode == "slice":
            return x.amax(dim=(3, 4))
        if self.mode == "energy":
            return x.sum(dim=(3, 4))
        num_scales, height, width = x.shape[2:]
        if min(height, width) < 2 * num_scales - 1:
            raise ValueError(
                f"energy_valid leaves out the s outermost rows and columns of scale s, so that "
                f"{num_scales} scales need maps of at least {2 * num_scales - 1} pixels a side; "
                f"got {height} x {width}."
            )
        valid = [x[:, :, s, s : height - s, s : width - s] for s in range(num_scales)]
        return torch.stack([answers.mean(dim=(2, 3)) for answers in valid], dim=2)

    def extra_repr(self) -> str:
        return repr(self.mode)


def take_scale(x: Tensor, indices: Tensor) -> Tensor:
    """One scale of each image and channel: (N, C, S, H, W) and (N, C) -> (N, C, H, W)."""
    n, c, _, height, width = x.shape
    where = indices[:, :, None, None, None].expand(n, c, 1, height, width)
    return x.gather(2, where).squeeze(2)


class PooledSiConv2d(nn.Module):
    """A ``SiConv2d`` and the ``ScalePool`` that makes its answer an ordinary stack of maps.

    It computes by the book if its convolution does, and for indices where no compiled loops serve.

    Shape:   (N, C, H, W) -> (N, O, H - k + 1, W - k + 1); indices as in ``ScalePool``.
    Learned: the convolution's ``weight`` and ``bias``.
    Source:  Altstidl et al. (2023), arXiv:2211.10288.

    >>> stage = PooledSiConv2d(SiConv2d(1, 4, num_scales=3, kernel_size=3), ScalePool("pixel"))
    >>> stage(torch.zeros(2, 1, 9, 9)).shape, stage.peak(torch.zeros(2, 1, 9, 9)).shape
    (torch.Size([2, 4, 7, 7]), torch.Size([2, 4]))
    """

    def __init__(self, conv: SiConv2d, pool: ScalePool) -> None:
        super().__init__()
        if conv.padding and pool.mode == "energy_valid":
            raise ValueError(
                "energy_valid leaves out a border of zeros, which a SiConv2d with padding does not "
                "have; use energy."
            )
        self.conv = conv
        self.pool = pool

    def forward(self, x: Tensor, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        conv = self.conv
        if not conv.runs_fast(x):
            return self.pool(conv.plain_response(x), return_indices)
        conv.check_input(x)
        if return_indices:
            chosen = pooled_choice(x, conv.weight, bias_of(conv), conv.ladder, self.pool.mode)
            return self.pool(conv.plain_response(x), True) if chosen is None else chosen
        return pooled_response(x, conv.weight, bias_of(conv), conv.ladder, self.pool.mode)

    def peak(self, x: Tensor) -> Tensor:
        """The largest answer of each image and channel, (N, O)."""
        conv = self.conv
        if not conv.runs_fast(x):
            return GlobalMaxPool()(self(x))
        conv.check_input(x)
        return pooled_peak(x, conv.weight, bias_of(conv), conv.ladder, self.pool.mode)


class GlobalMaxPool(nn.Module):
    """The largest value of each image and channel, wherever it is.

    Of equal values the first one, in memory order of the axes, receives the gradient.

    Shape:   (N, C, ...) -> (N, C).
    Learned: nothing.

    >>> GlobalMaxPool()(torch.tensor([[[1.0, 3.0], [2.0, 0.0]]])).tolist()
    [[3.0, 2.0]]
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).max(dim=2).values


def bias_of(layer: Any) -> Tensor:
    """What a layer adds to its answers: zeros where it has no bias."""
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias


def check_channels(x: Tensor, in_channels: int, *, ndim: int) -> None:
    """Refuse a batch whose number of axes or channels is not the layer's."""
    if x.ndim != ndim or x.shape[1] != in_channels:
        axes = "(N, C, H, W)" if ndim == 4 else "(N, C, S, H, W)"
        raise ValueError(
            f"The layer takes {axes} with {in_channels} channels; got shape {tuple(x.shape)}."
        )


def check_room(x: Tensor, side: int) -> None:
    """Refuse a batch of images that a square kernel does not fit into."""
    if min(x.shape[-2:]) < side:
        raise ValueError(
            f"The input must be at least as large as the {side} x {side} kernels; "
            f"got {x.shape[-2]} x {x.shape[-1]}."
        )
