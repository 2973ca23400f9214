"""Our own grey dataset: the emoji at their places, over 1/f noise and fragments of other icons.

Not part of the benchmark, whose emoji lie on black: it asks what a network makes of a background.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stir import schema
from stir.sources import emoji
from stir.sources.placement import CANVAS, draw_corner
from stir.terminal import Progress

SEED = 43  # emoji has 42
GROUND = (30, 110)  # grey levels, the range that the mean of a background is drawn from
SWING = 18.0  # grey levels, standard deviation of a background
DARKEST = 8.0  # grey level of a background, so that nowhere is it the benchmark's black
ICON_SIDE = 40  # pixels, of the icons that fragments are cut from
FRAGMENTS = 5  # in an image
FRAGMENT_SIDES = (8, 17)  # pixels, smaller than any object
FRAGMENT_CONTRAST = (0.3, 0.8)  # of the object's

Plane = NDArray[np.float64]


def make(progress: Progress, *, seed: int = SEED) -> schema.Arrays:
    """The arrays of ``emoji``, with a background of its own behind each image."""
    arrays = emoji.make(lambda done, total: progress(done, 2 * total))
    drawings = emoji.icon_drawings()
    icons = [emoji.render(drawings[icon], ICON_SIDE) / 255.0 for icon in emoji.ICONS]
    rng = np.random.RandomState(seed)
    images = arrays["imgs"]
    for number in range(len(icons)):
        others = icons[:number] + icons[number + 1 :]
        for split, row in np.ndindex(*images.shape[:2]):
            coverage = images[split, row, number, 0] / 255.0
            ground = background(others, rng)
            image = ground + coverage * (255.0 - ground)
            images[split, row, number, 0] = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        progress(len(icons) + number + 1, 2 * len(icons))
    return arrays


def background(icons: Sequence[Plane], rng: np.random.RandomState) -> Plane:
    """1/f noise with pieces of some icons on it, grey levels of shape (CANVAS, CANVAS)."""
    plane = np.maximum(rng.uniform(*GROUND) + SWING * pink_noise(rng), DARKEST)
    for _ in range(FRAGMENTS):
        icon = icons[rng.randint(len(icons))]
        side = rng.randint(*FRAGMENT_SIDES)
        top, left = rng.randint(0, len(icon) - side + 1, 2)
        piece = icon[top : top + side, left : left + side] * rng.uniform(*FRAGMENT_CONTRAST)
        corner = draw_corner(side, rng)
        box = np.s_[corner.y : corner.y + side, corner.x : corner.x + side]
        plane[box] += piece * (255.0 - plane[box])
    return plane


def pink_noise(rng: np.random.RandomState) -> Plane:
    """Noise whose amplitude falls as one over the frequency; mean 0, standard deviation 1."""
    across, down = np.fft.rfftfreq(CANVAS), np.fft.fftfreq(CANVAS)
    frequency = np.hypot(across[None, :], down[:, None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((CANVAS, CANVAS))) / frequency
    noise = np.fft.irfft2(spectrum, (CANVAS, CANVAS))
    return noise / noise.std()
