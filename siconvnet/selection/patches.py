"""What is done to pixels before a network sees them: a floor under them, a patch in one size."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siconvnet.modes.constants import constant
from siconvnet.modes.precision import above_autocast
from siconvnet.selection.blobs import Selection

LEAST_VARIANCE = 0.16  # pixels^2 of a patch's blur; samples of a narrower Gaussian are no blur
LEAST_CONTRAST = 1e-6  # of a pixel or an image, for a quotient of two to be defined


class ContrastFloor(nn.Module):
    """Shrink each pixel towards black by a share of the image's loudest pixel, once for each share.

    A pixel v, the vector of its channels, becomes v max(0, 1 - t m / |v|), where m is the largest
    |v| of the image and t a floor: what is quieter than t m is black, the rest keeps its colour and
    sign. It acts on each pixel alone, so that it goes with any move of an object and, but for the
    pixels at its edges, with any change of its size; a f becomes a times as much.

    Shape:   (N, C, H, W) -> (N, F, C, H, W) for F floors.
    Learned: nothing.
    Source:  Donoho (1995), De-noising by soft-thresholding, here for pixels.

    >>> image = torch.tensor([[[[0.2, -0.6], [1.0, 0.0]]]])
    >>> ContrastFloor((0.0, 0.5))(image).flatten(2).squeeze(0)
    tensor([[ 0.2000, -0.6000,  1.0000,  0.0000],
            [ 0.0000, -0.1000,  0.5000,  0.0000]])
    """

    def __init__(self, floors: Sequence[float]) -> None:
        super().__init__()
        if not floors or not all(0 <= floor < 1 for floor in floors):
            raise ValueError(
                "Floors must be shares of an image's contrast, at least one, each from 0 to below "
                f"1; got {tuple(floors)}."
            )
        self.floors = tuple(floors)

    @above_autocast
    def forward(self, x: Tensor) -> Tensor:
        loudness = x.square().sum(dim=1, keepdim=True).clamp(min=LEAST_CONTRAST**2).sqrt()
        share = loudness.amax(dim=(2, 3), keepdim=True) / loudness
        floors = _column(self.floors, x.dtype, x.device)
        return x[:, None] * (1 - floors * share[:, None]).clamp(min=0)

    def extra_repr(self) -> str:
        return repr(self.floors)


@constant
def _column(floors: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Floors as a tensor that multiplies images, (F, 1, 1, 1)."""
    return torch.tensor(floors, dtype=dtype)[:, None, None, None].to(device)


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

    >>> from siconvnet import ScaleSelection
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
