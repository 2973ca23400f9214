"""Images of the same objects at several sizes, and the part of a stage's map that shows one."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ObjectImages:
    """Every object once at every scale, with its place: what evaluations of a trained model take.

    ``images`` (scales, classes, instances, C, H, W) uint8; ``positions`` (scales, classes,
    instances, 2) whole numbers, x from the left and y from the top of the object's box;
    ``scales``: the side of the box, one for each entry of the first axis. Sizes are in pixels.

    A box is a square. Of an oblong object it has the longer side, and may leave the image where the
    object does not.
    """

    images: Tensor
    positions: Tensor
    scales: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.images.ndim != 6 or self.images.dtype != torch.uint8:
            raise ValueError(
                "images must be uint8 of shape (scales, classes, instances, C, H, W); got "
                f"{self.images.dtype} of shape {tuple(self.images.shape)}."
            )
        if self.positions.shape != (*self.images.shape[:3], 2):
            raise ValueError(
                f"positions must have shape {(*self.images.shape[:3], 2)}, x and y of each image's "
                f"object; got {tuple(self.positions.shape)}."
            )
        if len(self.scales) != len(self.images) or len(set(self.scales)) != len(self.scales):
            raise ValueError(
                f"scales must name each of the {len(self.images)} scales of the images once; got "
                f"{self.scales}."
            )
        room = torch.tensor(self.images.shape[:-3:-1])  # W, H
        corners = self.positions.cpu()
        outside = ((corners < 0) | (corners >= room)).any(-1)
        if outside.any():
            raise ValueError(
                f"Every object's box must start within its {room[1]} x {room[0]} image; got "
                f"(x, y) = {tuple(corners[outside][0].tolist())}: give the corner's pixel in it."
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Classes and instances: the objects, each of which is there at every scale."""
        return self.images.shape[1], self.images.shape[2]

    def __len__(self) -> int:
        """The number of objects."""
        return self.grid[0] * self.grid[1]

    def batch(self, scale: int, part: slice, device: torch.device) -> tuple[Tensor, Tensor]:
        """Some objects at one scale: images (N, C, H, W) in [0, 1] and positions (N, 2)."""
        row = self.scales.index(scale)
        images = self.images[row].flatten(0, 1)[part].to(device)
        positions = self.positions[row].flatten(0, 1)[part].to(device)
        return images.to(torch.float32).div_(255.0), positions


def object_maps(maps: Tensor, positions: Tensor, scale: int, image_side: int) -> Tensor:
    """The part of each map whose every pixel sees nothing but the object.

    A map smaller than the image by d pixels loses d pixels of the object as well; what is left of
    an object of d pixels or less is nothing, and its part is empty. Pixels beyond the map, of a box
    that leaves the image, are NaN.

    Shape: (N, C, h, w) and positions (N, 2) as x, y -> (N, C, side, side).

    >>> maps = torch.arange(9.0).reshape(1, 1, 3, 3)  # of 5 x 5 images: kernels of 3 x 3
    >>> object_maps(maps, torch.tensor([[1, 0]]), scale=4, image_side=5)
    tensor([[[[1., 2.],
              [4., 5.]]]])
    """
    side = max(0, scale - (image_side - maps.shape[-1]))
    steps = torch.arange(side, device=maps.device)
    columns, rows = (positions[:, axis, None] + steps for axis in (0, 1))
    height, width = maps.shape[-2:]
    inside = (rows < height)[:, :, None] & (columns < width)[:, None]
    rows, columns = rows.clamp(max=height - 1), columns.clamp(max=width - 1)
    image = torch.arange(len(maps), device=maps.device)
    part = maps[image[:, None, None], :, rows[:, :, None], columns[:, None]].movedim(-1, 1)
    return part.where(inside[:, None], torch.nan)
