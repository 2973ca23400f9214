"""A synthetic colour dataset, drawn from a seed: textured figures on a textured background.

Not part of the benchmark; it lets the colour path be tried, and tested, without raw data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stir import schema
from stir.sources.placement import CANVAS, Corner, draw_corner
from stir.terminal import Progress

Plane = NDArray[np.float64]

SEED = 42
INSTANCES = 5
OVERSAMPLING = 4  # points along a pixel's side, to smooth the edges of figures
WAVES = 5  # in a texture
FINEST = 3.0  # periods of a wave per object side; a 17 px object still shows them

# Each fills the square -1 <= x, y <= 1 exactly, y down.
FIGURES: Mapping[str, Callable[[Plane, Plane], NDArray[np.bool_]]] = {
    "disc": lambda x, y: x**2 + y**2 <= 1,
    "ring": lambda x, y: (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.4),
    "square": lambda x, y: np.maximum(abs(x), abs(y)) <= 1,
    "frame": lambda x, y: (np.maximum(abs(x), abs(y)) <= 1) & (np.maximum(abs(x), abs(y)) >= 0.6),
    "diamond": lambda x, y: abs(x) + abs(y) <= 1,
    "triangle": lambda x, y: 2 * abs(x) <= y + 1,
    "cross": lambda x, y: np.minimum(abs(x), abs(y)) <= 0.3,
    "saltire": lambda x, y: abs(abs(x) - abs(y)) <= 0.35,
}


@dataclass(frozen=True, slots=True)
class Texture:
    """A colour with plane waves on it, defined at any point of the plane."""

    colour: NDArray[np.float64]  # (3,), grey levels
    swings: NDArray[np.float64]  # (WAVES, 3), grey levels
    waves: NDArray[np.float64]  # (WAVES, 2), radians per object side along x and y
    phases: NDArray[np.float64]  # (WAVES,), radians

    @classmethod
    def draw(cls, colour: NDArray[np.float64], rng: np.random.RandomState) -> "Texture":
        angles = rng.uniform(0, np.pi, WAVES)
        lengths = 2 * np.pi * rng.uniform(0.5, FINEST, WAVES)
        waves = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        swings = rng.uniform(-12, 12, (WAVES, 3))
        return cls(colour, swings, waves, rng.uniform(0, 2 * np.pi, WAVES))

    def at(self, x: Plane, y: Plane) -> NDArray[np.float64]:
        """Colours (rows, columns, 3) at points given in object sides."""
        angles = x[..., None] * self.waves[:, 0] + y[..., None] * self.waves[:, 1] + self.phases
        return self.colour + np.sin(angles) @ self.swings


def make(progress: Progress, *, seed: int = SEED) -> schema.Arrays:
    """Every figure at every scale; each instance has its own colours and grain.

    As in a photo, object and ground grow together.
    """
    arrays = schema.blank(len(FIGURES), INSTANCES, 3) | {"lbldata": np.array(list(FIGURES))}
    rng = np.random.RandomState(seed)
    coverage = {name: [cover(name, side) for side in schema.SCALE_AXIS] for name in FIGURES}
    for number, name in enumerate(FIGURES):
        for split, instance in np.ndindex(len(schema.SPLITS), INSTANCES):
            figure, ground = draw_pair(rng)
            for row, side in enumerate(schema.SCALE_AXIS):
                corner = draw_corner(side, rng)
                at = (split, row, number, instance)
                arrays["psts"][at] = corner
                arrays["imgs"][at] = paint(coverage[name][row], corner, figure, ground)
        progress(number + 1, len(FIGURES))
    return arrays


def draw_pair(rng: np.random.RandomState) -> tuple[Texture, Texture]:
    """Textures for a figure and its ground, one light and one dark in every colour."""
    dark, light = rng.uniform(40, 100, 3), rng.uniform(155, 215, 3)
    figure, ground = (dark, light) if rng.randint(2) else (light, dark)
    return Texture.draw(figure, rng), Texture.draw(ground, rng)


def cover(name: str, side: int) -> NDArray[np.float64]:
    """How much of each pixel a figure of ``side`` px covers, 0..1, shape (side, side)."""
    steps = side * OVERSAMPLING
    points = (2 * np.arange(steps) + 1) / steps - 1
    inside = FIGURES[name](points[None, :], points[:, None])
    inside = np.broadcast_to(inside, (steps, steps))
    return inside.reshape(side, OVERSAMPLING, side, OVERSAMPLING).mean((1, 3))


def paint(
    coverage: NDArray[np.float64], corner: Corner, figure: Texture, ground: Texture
) -> NDArray[np.uint8]:
    """The whole image: ground everywhere, the figure where it covers it."""
    side = len(coverage)
    x = np.broadcast_to((np.arange(CANVAS) + 0.5 - corner.x) / side, (CANVAS, CANVAS))
    y = np.broadcast_to((np.arange(CANVAS) + 0.5 - corner.y)[:, None] / side, (CANVAS, CANVAS))
    image = ground.at(x, y)
    box = np.s_[corner.y : corner.y + side, corner.x : corner.x + side]
    share = coverage[..., None]
    image[box] = share * figure.at(x[box], y[box]) + (1 - share) * image[box]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
