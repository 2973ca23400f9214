"""Scale selection: find an object's place and size without learning, then classify one patch of it.

The layers here are ours, not the paper's. An image is searched for blobs of any size, the strongest
is cut out in a size relative to its own, and only then does anything learn. What is learned never
sees how large the object was, so that sizes never trained on make no difference.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.modes.constants import constant
from siconvnet.modes.precision import above_autocast

GAMMA = 1.75  # between 3/2, above which strokes select no scale of their own, and 2
LEAST_VARIANCE = 0.16  # pixels^2 of a patch's blur; samples of a narrower Gaussian are no blur
LEAST_SALIENCE = 1e-12  # whose logarithm is still taken
LEFT_OUT = 1e-4  # of a discrete Gaussian's weight, beyond where it is cut


class Selection(NamedTuple):
    """Blobs in order of salience, each tensor (N, K); x, y and scale are in pixels.

    ``sign`` is 1 for a bright blob, -1 for a dark one and 0 where an image has no further blob.
    ``salience`` is the magnitude of the answer that selected it.
    """

    x: Tensor
    y: Tensor
    scale: Tensor
    sign: Tensor
    salience: Tensor


class ScaleSelection(nn.Module):
    """Find the most salient blobs of an image: where they are and how large.

    The image f, black outside its frame, is smoothed by Gaussians g_s of standard deviation s. The
    salience is the gamma-normalised Laplacian R(x, s) = -s^(2 gamma) (laplacian of g_s * f)(x), and
    its largest local maxima over places and scales are selected; a parabola through log R refines
    x, y and log s. Replacing f(x) by f(x / a) multiplies R by a^(2 gamma - 2) everywhere, so that
    the maxima move from (x, s) to (a x, a s). Points, lines and surfaces answer with a power
    2 gamma - 4 + d of s, d = 0, 1, 2: with 3/2 < gamma < 2 strokes select no scale of their own and
    a bounded object selects one.

    Channels are averaged. Scales lie a factor of 2^(1/3) apart, places two pixels. ``bright_only``
    leaves dark blobs out. Nothing passes a gradient.

    Shape:   (N, C, H, W) -> five tensors (N, ``candidates``), see ``Selection``.
    Units:   pixels, from the centre of the first one.
    Learned: nothing.
    Source:  Lindeberg (1998), Feature detection with automatic scale selection, section 4.

    >>> image = torch.zeros(1, 1, 64, 64)
    >>> image[:, :, 16:33, 24:41] = 1  # a square of 17 pixels around (32, 24)
    >>> found = ScaleSelection(64, 64)(image)
    >>> round(float(found.x)), round(float(found.y))
    (32, 24)
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        candidates: int = 1,
        bright_only: bool = False,
        gamma: float = GAMMA,
        smallest: float = 4.0,
        octaves: int = 4,
        per_octave: int = 3,
        stride: int = 2,
    ) -> None:
        super().__init__()
        if min(height, width) < 3 * stride:
            raise ValueError(
                f"Images must be at least {3 * stride} x {3 * stride} pixels, so that a place has "
                f"neighbours; got {height} x {width}."
            )
        if candidates < 1:
            raise ValueError(f"candidates must be at least 1; got {candidates}.")
        self.height, self.width, self.stride = height, width, stride
        self.candidates, self.bright_only = candidates, bright_only
        self.smallest, self.octaves, self.per_octave = smallest, octaves, per_octave
        self.gamma = gamma

    @torch.no_grad()
    @above_autocast
    def forward(self, x: Tensor) -> Selection:
        r = self.salience(x)
        loudness = r if self.bright_only else r.abs()
        if self.candidates > 1:
            highest = F.max_pool3d(loudness, 3, stride=1, padding=1)
            loudness = loudness.where(loudness == highest, 0.0)
        value, flat = loudness.flatten(1).topk(self.candidates, dim=1)
        value = value.clamp(min=0.0)
        sign = r.flatten(1).gather(1, flat).sign() * (value > 0)
        scale, row, column = self._refined(r, flat, sign)
        first = (self.stride - 1) / 2
        return Selection(
            x=first + self.stride * column,
            y=first + self.stride * row,
            scale=self.smallest * 2 ** (scale / self.per_octave),
            sign=sign,
            salience=value,
        )

    @above_autocast
    def salience(self, x: Tensor) -> Tensor:
        """R at every scale and every ``stride``-th place, (N, S, h, w)."""
        if x.ndim != 4 or x.shape[2:] != (self.height, self.width):
            raise ValueError(
                f"The layer takes images (N, C, {self.height}, {self.width}); "
                f"got shape {tuple(x.shape)}."
            )
        grey = x.mean(dim=1)
        scales = tuple(
            self.smallest * 2 ** (step / self.per_octave)
            for step in range(self.octaves * self.per_octave + 1)
        )
        how = (scales, self.gamma, self.stride, x.dtype, x.device)
        rows_smooth, rows_curve = _filters(self.height, *how)
        columns_smooth, columns_curve = _filters(self.width, *how)
        smooth = torch.einsum("spw,nhw->nshp", columns_smooth, grey)
        curved = torch.einsum("spw,nhw->nshp", columns_curve, grey)
        return rows_curve @ smooth + rows_smooth @ curved

    def _refined(self, r: Tensor, flat: Tensor, sign: Tensor) -> list[Tensor]:
        """Scale, row and column of maxima, in steps, moved to the top of a parabola through log R.

        At the end of an axis a maximum stays where it is.
        """
        n, *sizes = r.shape
        _, h, w = sizes
        at = [flat // (h * w), flat // w % h, flat % w]
        image = torch.arange(n, device=r.device)[:, None]

        def log_r(axis: int, step: int) -> Tensor:
            place = [*at]
            place[axis] = (at[axis] + step).clamp(0, sizes[axis] - 1)
            return (r[image, *place] * sign).clamp(min=LEAST_SALIENCE).log()

        peak = []
        for axis, size in enumerate(sizes):
            below, here, above = (log_r(axis, step) for step in (-1, 0, 1))
            shift = (below - above) / (2 * (below - 2 * here + above)).clamp(max=-1e-9)
            inside = (at[axis] > 0) & (at[axis] < size - 1)
            peak.append(at[axis] + torch.where(inside, shift.clamp(-0.5, 0.5), 0.0))
        return peak

    def extra_repr(self) -> str:
        return f"{self.height}, {self.width}, candidates={self.candidates}"


@constant
def _filters(
    pixels: int,
    scales: tuple[float, ...],
    gamma: float,
    stride: int,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """A Gaussian and its negative second derivative at each scale and place, (S, places, pixels).

    Each carries half of s^(2 gamma) and of the units, so that their product has all of it.
    """
    places = torch.arange(0, pixels, stride, dtype=torch.float64) + (stride - 1) / 2
    distance = torch.arange(pixels, dtype=torch.float64) - places[None, :, None]
    s = torch.tensor(scales, dtype=torch.float64)[:, None, None]
    gaussian = torch.exp(-(distance**2) / (2 * s**2)) / (s * math.sqrt(2 * math.pi))
    smooth = gaussian * s ** (gamma - 1)
    curve = smooth * (1 - distance**2 / s**2)
    return smooth.to(dtype).to(device), curve.to(dtype).to(device)


class CanonicalPatch(nn.Module):
    """Cut selected blobs out in a size relative to their own, all equally blurred.

    ``side`` x ``side`` samples lie u = 2 ``reach`` s / ``side`` pixels apart around a blob of scale
    s, taken from the image blurred by a Gaussian of variance b^2 with b^2 + 1/12 = u^2, where 1/12
    is the variance of a pixel's own aperture: small and large objects end equally blurred relative
    to their size. The image is black outside its frame.

    Shape:   (N, C, H, W) and a ``Selection`` of K blobs -> (N, K, C, side, side).
    Learned: nothing.
    Source:  ours; scale-normalised sampling as in Lindeberg (2022), Scale-covariant and
             scale-invariant Gaussian derivative networks.

    >>> images = torch.rand(2, 3, 64, 64)
    >>> CanonicalPatch(32)(images, ScaleSelection(64, 64)(images)).shape
    torch.Size([2, 1, 3, 32, 32])
    """

    def __init__(self, side: int, *, reach: float = 1.0) -> None:
        super().__init__()
        if side < 2 or reach <= 0:
            raise ValueError(
                f"A patch must have at least 2 samples and a positive width; got side {side} and "
                f"reach {reach}."
            )
        self.side, self.reach = side, reach

    @above_autocast
    def forward(self, x: Tensor, selection: Selection) -> Tensor:
        distance = 2 * self.reach * selection.scale / self.side
        down = self._weights(selection.y, distance, x.shape[2])
        across = self._weights(selection.x, distance, x.shape[3])
        return down[:, :, None] @ x[:, None] @ across.transpose(2, 3)[:, :, None]

    def _weights(self, centre: Tensor, distance: Tensor, pixels: int) -> Tensor:
        """What each sample takes from each pixel of an axis, (N, K, side, pixels)."""
        variance = (distance**2 - 1 / 12).clamp(min=LEAST_VARIANCE)[..., None, None]
        steps = torch.arange(self.side, device=centre.device) - (self.side - 1) / 2
        place = (centre[..., None] + distance[..., None] * steps)[..., None]
        pixel = torch.arange(pixels, device=centre.device)
        gaussian = torch.exp(-((pixel - place) ** 2) / (2 * variance))
        # Its sum over an endless row of pixels, by Poisson's formula to the first harmonic.
        ripple = 2 * torch.exp(-2 * math.pi**2 * variance) * torch.cos(2 * math.pi * place)
        return gaussian / (torch.sqrt(2 * math.pi * variance) * (1 + ripple))

    def extra_repr(self) -> str:
        return f"{self.side}, reach={self.reach}"


class GaussianJetConv2d(nn.Module):
    """Combine Gaussian derivatives up to order two linearly into new channels.

    Each channel is blurred by the discrete Gaussian exp(-t) I_n(t), t = ``sigma``^2, kept at every
    ``step``-th place, and differentiated by central differences that are multiplied by sigma to the
    power of their order. Beyond its rim an image goes on with its outermost pixels.

    Shape:   (N, C, side, side) -> (N, O, ceil(side / step), ceil(side / step)).
    Units:   sigma in pixels of the input.
    Learned: ``weight`` (O, C, 6), for L, L_x, L_y, L_xx, L_xy, L_yy.
    Source:  Lindeberg (2022), Scale-covariant and scale-invariant Gaussian derivative networks,
             equation 9; the discrete Gaussian: Lindeberg (1990), Scale-space for discrete signals.

    >>> GaussianJetConv2d(1, 8, side=32, sigma=1.0, step=2)(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, side: int, sigma: float, step: int = 1
    ) -> None:
        super().__init__()
        if side < 2 or sigma <= 0 or step < 1:
            raise ValueError(
                "A jet needs images of at least 2 x 2 pixels, a positive sigma and a step of 1 or "
                f"more; got side {side}, sigma {sigma} and step {step}."
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.side, self.sigma, self.step = side, sigma, step
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 6))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights so that a ReLU keeps the variance of what it gets (He et al., 2015)."""
        nn.init.normal_(self.weight, std=math.sqrt(2 / (6 * self.in_channels)))

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
        return F.conv2d(blur @ x @ blur.T, kernel)

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
