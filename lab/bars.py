"""A dataset in the STIR format that a small network learns in seconds: bars at four angles."""

from pathlib import Path

import numpy as np

from stir import SCALES, archive

CLASSES = 4


def write_bars(path: Path, *, classes: int = CLASSES) -> Path:
    """Write the dataset, named ``bars``; always the same for a number of classes."""
    rng = np.random.default_rng(1)
    shape = (3, len(SCALES), classes, 1)
    images = np.zeros((*shape, 64, 64), np.uint8)
    places = np.zeros((*shape, 2), np.int64)
    for split, row, angle in np.ndindex(*shape[:3]):
        side = 64 - row
        left, top = rng.integers(0, 64 - side + 1, 2)
        y, x = np.mgrid[0:side, 0:side] / (side - 1) - 0.5
        turn = np.pi * angle / classes
        box = images[split, row, angle, 0, top : top + side, left : left + side]
        box[np.abs(x * np.sin(turn) - y * np.cos(turn)) < 0.12] = 255
        places[split, row, angle, 0] = left, top
    fields = ("title", "description", "author", "license", "version", "date")
    archive.write(
        path,
        {
            "imgs": images,
            "lbls": np.broadcast_to(np.arange(classes)[:, None], shape),
            "scls": np.broadcast_to(64 - np.arange(len(SCALES))[:, None, None], shape),
            "psts": places,
            "metadata": np.array([[field, "Bars"] for field in fields]),
            "lbldata": np.array([f"{180 / classes * turn:g} degrees" for turn in range(classes)]),
        },
    )
    return path
