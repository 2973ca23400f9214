"""The handwritten digits of MNIST: resized, placed at random and smoothed.

Resizing and smoothing are linear along each axis, so that both are matrices here, computed once
for each of the 48 scales and applied to all digits of that scale together.
"""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from stir import schema
from stir.errors import StirError
from stir.sources import idx
from stir.sources.placement import CANVAS, draw_corner
from stir.terminal import Progress

SEED = 42
SIDE = 28  # pixels, of MNIST's own images
DIGITS = 10
INSTANCES = 50


def make(raw_dir: Path, progress: Progress) -> schema.Arrays:
    """150 images of each digit, every one at each of the 48 scales.

    Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.1; the smoothing is that of
    Lindeberg (2020), arXiv:2004.01536.
    """
    digits = choose(raw_dir)
    arrays = schema.blank(DIGITS, INSTANCES, 1)
    arrays["lbldata"] = np.array([str(digit) for digit in range(DIGITS)])
    arrays["psts"][:] = draw_corners()
    for row, side in enumerate(schema.SCALE_AXIS):
        for split, digit in np.ndindex(digits.shape[:2]):
            corners = arrays["psts"][split, row, digit]
            arrays["imgs"][split, row, digit] = render(digits[split, digit], side, corners)
        progress(row + 1, len(schema.SCALE_AXIS))
    return arrays


def choose(raw_dir: Path) -> NDArray[np.uint8]:
    """The digits used, (split, class, instance, 28, 28).

    A class is shuffled; of the training file the first 50 are for training and the next 50 for
    validation, of the test file the first 50 for testing.
    """
    train = _shuffled_classes(raw_dir, "train", 2 * INSTANCES)
    test = _shuffled_classes(raw_dir, "t10k", INSTANCES)
    return np.stack([train[:, :INSTANCES], train[:, INSTANCES:], test])


def _shuffled_classes(raw_dir: Path, stem: str, count: int) -> NDArray[np.uint8]:
    images, labels = idx.read_images(raw_dir, stem), idx.read_labels(raw_dir, stem)
    if images.shape[1:] != (SIDE, SIDE):
        raise StirError(
            f"MNIST images must be {SIDE} x {SIDE}; the {stem} file's are of the shape "
            f"{images.shape[1:]}."
        )
    if len(images) != len(labels):
        raise StirError(
            f"MNIST must have a label for each image; the {stem} files hold "
            f"{len(images)} images and {len(labels)} labels."
        )
    chosen = []
    for digit in range(DIGITS):
        of_class = np.flatnonzero(labels == digit)
        if len(of_class) < count:
            raise StirError(
                f"MNIST must have at least {count} images of each digit in its {stem} "
                f"file; of {digit} there are {len(of_class)}."
            )
        np.random.RandomState(SEED).shuffle(of_class)
        chosen.append(images[of_class[:count]])
        if (np.ptp(chosen[-1], axis=(1, 2)) == 0).any():
            raise StirError(
                f"Every MNIST image must show a digit; one of {digit} in the {stem} file is blank."
            )
    return np.stack(chosen)


def draw_corners() -> NDArray[np.int64]:
    """Corners as x, y, (split, scale, class, instance, 2), in the published order of drawing."""
    rng = np.random.RandomState(SEED)
    corners = np.empty((DIGITS, INSTANCES, len(schema.SCALE_AXIS), len(schema.SPLITS), 2), np.int64)
    for digit in range(DIGITS):
        for instance in range(INSTANCES):
            for row, side in enumerate(schema.SCALE_AXIS):
                for split in range(len(schema.SPLITS)):
                    corners[digit, instance, row, split] = draw_corner(side, rng)
    return corners.transpose(3, 2, 0, 1, 4)


def render(digits: NDArray[np.uint8], side: int, corners: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Digits (N, 28, 28) at ``side`` px and their corners (N, 2) as images (N, 64, 64)."""
    low, high = digits.min((1, 2), keepdims=True), digits.max((1, 2), keepdims=True)
    enlarge, smooth = resizing(side), smoothing(side)
    objects = np.clip(enlarge @ digits @ enlarge.T, low, high)
    columns = np.arange(side) + corners[:, :, None]  # of the canvas, (N, (x, y), side)
    rows_of, columns_of = smooth.T[columns[:, 1]], smooth.T[columns[:, 0]]
    blurred = rows_of.transpose(0, 2, 1) @ objects @ columns_of
    values = 2 / np.pi * np.arctan(0.02 * (blurred - 128))
    least, most = values.min((1, 2), keepdims=True), values.max((1, 2), keepdims=True)
    return (255.0 * (values - least) / (most - least)).astype(np.uint8)


@cache
def resizing(side: int) -> NDArray[np.float64]:
    """The (side, 28) matrix of a cubic spline, after a Gaussian where the digit shrinks.

    What scikit-image's ``resize(order=3)`` does along one axis; checked against version 0.26.
    """
    pixels = np.eye(SIDE)
    sigma = max(0.0, (SIDE / side - 1) / 2)
    smoothed = ndimage.gaussian_filter1d(pixels, sigma, axis=0, mode="mirror") if sigma else pixels
    zoom = (side / SIDE, 1)
    return np.asarray(ndimage.zoom(smoothed, zoom, order=3, mode="mirror", grid_mode=True))


@cache
def smoothing(side: int) -> NDArray[np.float64]:
    """The (64, 64) matrix of the Gaussian over the whole canvas, cut at 4 sigma."""
    sigma = 7 / 8 * side / SIDE
    return ndimage.gaussian_filter1d(np.eye(CANVAS), sigma, axis=0, mode="nearest", truncate=4.0)
