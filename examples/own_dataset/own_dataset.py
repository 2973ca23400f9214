"""A dataset of one's own: capital letters of the font that Pillow brings along."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stir import register_dataset
from stir.schema import SCALE_AXIS, SPLITS, Arrays, blank
from stir.sources.placement import draw_corner, place
from stir.terminal import Progress

LETTERS = "ABEGKMRSXZ"
DRAWN = 256  # pixels; letters are drawn so large and then made smaller


def make(*, raw_dir: Path | None, progress: Progress) -> Arrays:
    """Every letter at every size, each image with the letter at a place drawn from a seed."""
    arrays = blank(num_classes=len(LETTERS), instances=1, channels=1)
    arrays["lbldata"] = np.array(list(LETTERS))
    rng = np.random.RandomState(1)
    for number, letter in enumerate(LETTERS):
        picture = draw(letter)
        for split in range(len(SPLITS)):
            for row, side in enumerate(SCALE_AXIS):
                corner = draw_corner(side, rng)
                small = picture.resize((side, side), Image.Resampling.BOX)
                arrays["psts"][split, row, number, 0] = corner
                arrays["imgs"][split, row, number, 0] = place(np.asarray(small), corner)
        progress(number + 1, len(LETTERS))
    return arrays


def draw(letter: str) -> Image.Image:
    """A letter, white on black, in the middle of the smallest square that holds it."""
    canvas = Image.new("L", (2 * DRAWN, 2 * DRAWN))
    ImageDraw.Draw(canvas).text(
        (DRAWN // 2, DRAWN // 4), letter, fill=255, font=ImageFont.load_default(DRAWN)
    )
    letter_box = canvas.getbbox()
    assert letter_box is not None
    cut = canvas.crop(letter_box)
    square = Image.new("L", (max(cut.size), max(cut.size)))
    square.paste(cut, ((square.width - cut.width) // 2, (square.height - cut.height) // 2))
    return square


register_dataset(
    "letters",
    make,
    title="Letters",
    num_classes=len(LETTERS),
    instances=1,
    channels=1,
    licence="CC0 1.0",
    attribution="letters of the font Aileron by Sora Sagano",
    source="the default font of Pillow",
)
