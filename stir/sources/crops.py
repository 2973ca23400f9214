"""Crop an object from its photo at a given size and a random position in the crop.

The crop is what the whole photo, resized, would show there; only the crop is computed.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stir.schema import SCALE_AXIS
from stir.sources.photos import Photo, UnusableError, decode
from stir.sources.placement import CANVAS, crop_range

SEED = 42
LANCZOS = Image.Resampling.LANCZOS
LANCZOS_LOBES = 3


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object in a photo: its box in pixels of the photo, right and bottom not included."""

    photo: Photo
    number: int  # of the object among those of its photo
    label: str
    left: int
    top: int
    right: int
    bottom: int
    oblong: bool  # True: the longer side becomes the scale; False: both sides do

    def __str__(self) -> str:
        return f"{self.label} {self.number} of {self.photo.member}"

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def resized(self, length: int, axis: int, side: int) -> int:
        """A length in the photo, once the object has been resized to ``side`` px."""
        if self.oblong:
            return round(length * (side / max(self.width, self.height)))
        return round(length * side / (self.width, self.height)[axis])

    def span(self, axis: int, side: int) -> tuple[int, int]:
        """Where the box starts and ends along an axis of the resized photo."""
        low, high = ((self.left, self.right), (self.top, self.bottom))[axis]
        start = self.resized(low, axis, side)
        return start, self.resized(high, axis, side) if self.oblong else start + side


@dataclass(frozen=True, slots=True)
class Cut:
    """An object at every scale: images and the corners of its box in them."""

    images: NDArray[np.uint8]  # (48, 64, 64, 3)
    corners: NDArray[np.int64]  # (48, 2) x, y


def cut_photo(
    photo: Photo, sightings: list[Sighting], seed: int = SEED
) -> list[Cut | UnusableError]:
    """Cut each object at all scales from a photo decoded once, or say why it cannot be."""
    try:
        pixels = decode(photo)
    except UnusableError as error:
        return [error] * len(sightings)
    return [_cut_or_reason(pixels, sighting, seed) for sighting in sightings]


def _cut_or_reason(pixels: Image.Image, sighting: Sighting, seed: int) -> Cut | UnusableError:
    try:
        check_usable(sighting, pixels.size)
    except UnusableError as error:
        return error
    return cut(pixels, sighting, seed)


def check_usable(sighting: Sighting, size: tuple[int, int]) -> None:
    """Refuse a box that leaves its photo, and a photo too small to cut from at some scale."""
    width, height = size
    inside = 0 <= sighting.left < sighting.right <= width
    if not (inside and 0 <= sighting.top < sighting.bottom <= height):
        box = (sighting.left, sighting.top, sighting.right, sighting.bottom)
        raise UnusableError(f"its box {box} leaves the photo of {width} x {height} px")
    smallest = min(sighting.resized(size[axis], axis, min(SCALE_AXIS)) for axis in (0, 1))
    if smallest < CANVAS:
        raise UnusableError(f"its photo is only {smallest} px long when the object is smallest")


def cut(pixels: Image.Image, sighting: Sighting, seed: int) -> Cut:
    """The object at all 48 scales; the places depend on the seed and the object, nothing else."""
    rng = _generator(sighting, seed)
    images = np.empty((len(SCALE_AXIS), CANVAS, CANVAS, 3), np.uint8)
    corners = np.empty((len(SCALE_AXIS), 2), np.int64)
    for row, side in enumerate(SCALE_AXIS):
        start = []
        for axis in (0, 1):
            begin, end = sighting.span(axis, side)
            size = sighting.resized(pixels.size[axis], axis, side)
            low, high = crop_range(begin, end, size)
            start.append(int(rng.integers(low, high, endpoint=True)))
            corners[row, axis] = begin - start[axis]
        images[row] = crop(pixels, sighting, side, (start[0], start[1]))
    return Cut(images, corners)


def crop(
    pixels: Image.Image, sighting: Sighting, side: int, start: tuple[int, int]
) -> NDArray[np.uint8]:
    """The 64 x 64 px that start at ``start`` (x, y) in the photo resized for ``side``.

    Only the part of the photo that the filter reaches is touched. Pillow rounds and clips
    between its passes along rows and columns, so that their order shows; it is the one that
    Pillow 13 chooses for the whole photo: columns first where the height shrinks by more than
    twice as many pixels as the width.
    """
    size = tuple(sighting.resized(pixels.size[axis], axis, side) for axis in (0, 1))
    (x0, x1, left, right), (y0, y1, top, bottom) = (
        _reach(pixels.size[axis], size[axis], start[axis]) for axis in (0, 1)
    )
    part = pixels.crop((x0, y0, x1, y1))
    lost_width, lost_height = pixels.width - size[0], pixels.height - size[1]
    if lost_height > max(0, 2 * lost_width):
        first = part.resize((x1 - x0, CANVAS), LANCZOS, box=(0, top, x1 - x0, bottom))
        second = first.resize((CANVAS, CANVAS), LANCZOS, box=(left, 0, right, CANVAS))
    else:
        first = part.resize((CANVAS, y1 - y0), LANCZOS, box=(left, 0, right, y1 - y0))
        second = first.resize((CANVAS, CANVAS), LANCZOS, box=(0, top, CANVAS, bottom))
    return np.asarray(second)


def _reach(full: int, resized: int, start: int) -> tuple[int, int, float, float]:
    """Along one axis: the pixels of the photo that a crop needs, and the crop's edges in them."""
    ratio = full / resized
    low, high = start * ratio, min((start + CANVAS) * ratio, full)
    filter_radius = LANCZOS_LOBES * max(ratio, 1.0) + 1
    first = max(0, math.floor(low - filter_radius))
    last = min(full, math.ceil(high + filter_radius))
    return first, last, low - first, high - first


def _generator(sighting: Sighting, seed: int) -> np.random.Generator:
    text = f"{seed} {sighting.photo.member} {sighting.number}"
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint32))
