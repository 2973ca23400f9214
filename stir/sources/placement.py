"""The position of an object in its image: drawn at random, pasted there, or cropped around."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stir.errors import StirError
from stir.schema import CANVAS


class Corner(NamedTuple):
    """Where an object's box starts, in pixels from the image's left and top edge."""

    x: int
    y: int


def draw_corner(side: int, rng: np.random.RandomState) -> Corner:
    """A place for a ``side`` px object, every one that the canvas allows equally likely."""
    x, y = rng.randint(0, CANVAS - side + 1, 2)
    return Corner(int(x), int(y))


def place(thing: NDArray, corner: Corner) -> NDArray:
    """Put a square picture of an object on an otherwise black canvas.

    ``thing`` has the shape (side, side, ...); the answer (CANVAS, CANVAS, ...) and its dtype.
    """
    side = thing.shape[0]
    room = CANVAS - side
    if thing.shape[1] != side or not (0 <= corner.x <= room and 0 <= corner.y <= room):
        raise StirError(
            f"An object must be square and lie on the {CANVAS} px canvas; got "
            f"{thing.shape[1]} x {side} px at {tuple(corner)}, where x and y from 0 to {room} do."
        )
    canvas = np.zeros((CANVAS, CANVAS, *thing.shape[2:]), thing.dtype)
    canvas[corner.y : corner.y + side, corner.x : corner.x + side] = thing
    return canvas


def crop_range(start: int, end: int, size: int) -> tuple[int, int]:
    """Lowest and highest corner, along one axis, of a crop that holds the box start .. end.

    ``size`` is the picture's, at least CANVAS. Where rounding has put the box a pixel outside
    or made it a pixel longer than the crop, the crop stays inside the picture.
    """
    high = max(0, min(size - CANVAS, start))
    return min(max(0, end - CANVAS), high), high
