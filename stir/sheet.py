"""A contact sheet of a dataset: a row for each class, a column for each of some scales."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from stir import archive
from stir.dataset import STIRDataset
from stir.schema import CANVAS, SCALE_AXIS

SCALES = (64, 57, 50, 44, 37, 30, 24, 17)
GAP = 4  # pixels between images
NAME_WIDTH = 150  # pixels, left of a row
HEADER = 16  # pixels, above the columns
NAME_LETTERS = 24
GROUND, INK, BOX = (255, 255, 255), (0, 0, 0), (255, 64, 64)


def draw(dataset: STIRDataset) -> Image.Image:
    """The first training image of each class at eight scales, the object's box outlined."""
    step = CANVAS + GAP
    width = NAME_WIDTH + step * len(SCALES)
    sheet = Image.new("RGB", (width, HEADER + step * dataset.num_classes), GROUND)
    pen = ImageDraw.Draw(sheet)
    for column, scale in enumerate(SCALES):
        pen.text((NAME_WIDTH + column * step, 2), f"{scale} px", fill=INK)
    for row, name in enumerate(dataset.labeldata.tolist()):
        top = HEADER + row * step
        pen.text((2, top + CANVAS // 2 - 6), _shortened(name), fill=INK)
        for column, scale in enumerate(SCALES):
            at = (0, SCALE_AXIS.index(scale), row, 0)
            picture = _boxed(dataset.images[at], dataset.positions[at], scale)
            sheet.paste(picture, (NAME_WIDTH + column * step, top))
    return sheet


def write(dataset: STIRDataset, path: Path) -> None:
    """Write the sheet as a PNG, whole or not at all."""
    with archive.written(path) as temporary:
        draw(dataset).save(temporary, "PNG")


def _boxed(pixels: NDArray[np.uint8], position: NDArray, scale: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    x, y = (int(corner) for corner in position)
    ImageDraw.Draw(picture).rectangle((x, y, x + scale - 1, y + scale - 1), outline=BOX)
    return picture


def _shortened(name: str) -> str:
    return name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"
