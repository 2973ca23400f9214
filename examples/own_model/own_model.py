"""A network of one's own: it sees an image in log-polar coordinates, where size is a shift."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from siconvnet import GlobalMaxPool, register_model

RADII, ANGLES = 32, 48  # samples along the logarithm of the radius, and around the centre


class LogPolar(nn.Module):
    """Sample an image around its centre of mass, at radii that grow by a constant factor.

    Shape: (N, C, H, W) -> (N, C, RADII, ANGLES + 6). An object twice as large is the same picture,
    moved along the first of the two axes; six angles are there twice, so that the circle closes.
    """

    rays: Tensor

    def __init__(self) -> None:
        super().__init__()
        radius = torch.logspace(math.log10(1.5), math.log10(45), RADII)  # pixels
        angle = torch.arange(ANGLES + 6) * 2 * math.pi / ANGLES
        rays = radius[:, None, None] * torch.stack([angle.cos(), angle.sin()], dim=-1)
        self.register_buffer("rays", rays, persistent=False)  # (RADII, ANGLES + 6, 2) as x, y

    def forward(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        pixel = torch.arange(side, device=images.device, dtype=images.dtype)
        mass = images.mean(dim=1) + 1e-6  # an image that is black all over has a centre, too
        total = mass.sum(dim=(1, 2))
        centre = torch.stack(
            [(mass.sum(dim=1) * pixel).sum(dim=1), (mass.sum(dim=2) * pixel).sum(dim=1)], dim=1
        )
        places = (centre / total[:, None])[:, None, None] + self.rays  # pixels
        grid = (2 * places + 1) / side - 1
        return functional.grid_sample(images, grid, align_corners=False)


def build(*, in_channels: int, num_classes: int, kernel_size: int, **options: object) -> nn.Module:
    """Images (N, in_channels, 64, 64) from 0 to 1 to logits (N, num_classes), before softmax."""
    return nn.Sequential(
        LogPolar(),
        nn.Conv2d(in_channels, 16, kernel_size, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size, padding="same"),
        nn.ReLU(),
        GlobalMaxPool(),
        nn.Linear(32, num_classes),
    )


register_model("log-polar", build)
