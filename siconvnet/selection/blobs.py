"""Where an image's objects are and how large: maxima over places and scales, by no learning."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.modes.constants import constant
from siconvnet.modes.precision import above_autocast

GAMMA = 1.75  # between 3/2, above which strokes select no scale of their own, and 2
LEAST_SALIENCE = 1e-12  # whose logarithm is still taken


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

        def log_r(place: list[Tensor]) -> Tensor:
            return (r[image, *place] * sign).clamp(min=LEAST_SALIENCE).log()

        here, peak = log_r(at), []
        for axis, size in enumerate(sizes):
            lower, higher = [*at], [*at]
            lower[axis] = (at[axis] - 1).clamp(min=0)
            higher[axis] = (at[axis] + 1).clamp(max=size - 1)
            below, above = log_r(lower), log_r(higher)
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
