"""Learned combinations of Gaussian derivatives, and the discrete Gaussian that they start from."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.layers import Device
from siconvnet.modes.constants import constant

LEFT_OUT = 1e-4  # of a discrete Gaussian's weight, beyond where it is cut


class GaussianJetConv2d(nn.Module):
    """Combine Gaussian derivatives up to order two linearly into new channels.

    Each channel is blurred by the discrete Gaussian exp(-t) I_n(t), t = ``sigma``^2, kept at every
    ``step``-th place, and differentiated by central differences that are multiplied by sigma to the
    power of their order. Beyond its rim an image goes on with its outermost pixels.

    Shape:   (N, C, side, side) -> (N, O, ceil(side / step), ceil(side / step)).
    Units:   sigma in pixels of the input.
    Learned: ``weight`` (O, C, 6), for L, L_x, L_y, L_xx, L_xy, L_yy; ``bias`` (O,) if asked for.
    Source:  Lindeberg (2022), Scale-covariant and scale-invariant Gaussian derivative networks,
             equation 9; the discrete Gaussian: Lindeberg (1990), Scale-space for discrete signals.

    >>> GaussianJetConv2d(1, 8, side=32, sigma=1.0, step=2)(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        side: int,
        sigma: float,
        step: int = 1,
        bias: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if side < 2 or sigma <= 0 or step < 1:
            raise ValueError(
                "A jet needs images of at least 2 x 2 pixels, a positive sigma and a step of 1 or "
                f"more; got side {side}, sigma {sigma} and step {step}."
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.side, self.sigma, self.step = side, sigma, step
        size = (out_channels, in_channels, 6)
        self.weight = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
        self.bias = nn.Parameter(self.weight.new_empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights so that a ReLU keeps the variance of what it gets (He et al., 2015).

        A bias is 0 at first.
        """
        nn.init.normal_(self.weight, std=math.sqrt(2 / (6 * self.in_channels)))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def answer_side(self) -> int:
        """How many pixels the answer has on each side."""
        return math.ceil(self.side / self.step)

    def forward(self, x: Tensor) -> Tensor:
        shape = (self.in_channels, self.side, self.side)
        if x.ndim != 4 or x.shape[1:] != shape:
            raise ValueError(
                f"The layer takes images (N, {', '.join(map(str, shape))}); "
                f"got shape {tuple(x.shape)}."
            )
        blur, stencils = _jets(self.side, self.sigma, self.step, x.dtype, x.device)
        kernel = torch.einsum("ocj,jyx->ocyx", self.weight, stencils)
        return F.conv2d(blur @ x @ blur.T, kernel, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, sigma={self.sigma}, step={self.step}"


def discrete_gaussian(variance: float) -> Tensor:
    """exp(-t) I_n(t) for n from -r to r, cut where less than LEFT_OUT lies beyond; its sum is 1.

    It is what a sequence becomes by diffusion, and its Fourier transform exp(t (cos u - 1)).

    >>> kernel = discrete_gaussian(1.0)
    >>> round(float(kernel[len(kernel) // 2]), 3)
    0.466
    """
    count = 2 * math.ceil(4 * (variance + math.sqrt(variance)) + 8)
    cosines = [math.cos(2 * math.pi * place / count) for place in range(count)]
    spectrum = [math.exp(variance * (cosine - 1)) for cosine in cosines]

    def weight(place: int) -> float:
        terms = [spectrum[k] * cosines[place * k % count] for k in range(count)]
        return sum(terms) / count

    side = [weight(1)]
    middle = weight(0)
    while 1 - middle - 2 * sum(side) > LEFT_OUT:
        side.append(weight(len(side) + 1))
    kernel = torch.tensor([*reversed(side), middle, *side], dtype=torch.float64)
    return kernel / kernel.sum()


@constant
def _jets(
    side: int, sigma: float, step: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The blur of a ``GaussianJetConv2d`` along an axis, and its stencils."""
    blur, stencils = blur_matrix(side, sigma, step), jet_stencils(sigma / step)
    return blur.to(dtype).to(device), stencils.to(dtype).to(device)


def blur_matrix(side: int, sigma: float, step: int) -> Tensor:
    """Blur an axis and keep every ``step``-th place and one more at either end, (places, side).

    Places are centred on the axis, between two pixels where ``side`` and ``step`` ask for it.
    """
    kernel = discrete_gaussian(sigma**2)
    radius, count = len(kernel) // 2, math.ceil(side / step)
    first = (side - 1 - (count - 1) * step) / 2
    place = first + step * torch.arange(-1, count + 1, dtype=torch.float64)
    whole = place.floor().long()
    matrix = torch.zeros(count + 2, side, dtype=torch.float64)
    for pixel, share in ((whole, 1 - (place - whole)), (whole + 1, place - whole)):
        for offset, weight in zip(range(-radius, radius + 1), kernel, strict=True):
            column = (pixel + offset).clamp(0, side - 1)[:, None]
            matrix.scatter_add_(1, column, (share * weight)[:, None])
    return matrix


def jet_stencils(sigma: float) -> Tensor:
    """L, L_x, L_y, L_xx, L_xy, L_yy, each times sigma to the power of its order, (6, 3, 3)."""
    value = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    slope = torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64) * sigma
    bend = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64) * sigma**2
    pairs = ((value, value), (value, slope), (slope, value))
    pairs += ((value, bend), (slope, slope), (bend, value))
    return torch.stack([torch.outer(down, across) for down, across in pairs])
