"""The 36 faces of Font Awesome Free: rendered at each scale, white on black."""

import io
from importlib.metadata import PackageNotFoundError, files

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from stir import schema
from stir.errors import StirError
from stir.sources.placement import draw_corner, place
from stir.terminal import Progress

PACKAGE = "fontawesome-free"
FOLDER = "svgs/regular"
SEED = 42
# fmt: off
ICONS = [  # the order is the class number
    "tired", "surprise", "smile-wink", "smile-beam", "sad-tear", "sad-cry", "meh-rolling-eyes",
    "meh-blank", "laugh-wink", "laugh-squint", "laugh-beam", "laugh", "kiss-wink-heart",
    "kiss-beam", "kiss", "grin-wink", "grin-tongue-wink", "grin-tongue-squint", "grin-tongue",
    "grin-tears", "grin-stars", "grin-squint-tears", "grin-squint", "grin-hearts",
    "grin-beam-sweat", "grin-beam", "grin-alt", "grin", "grimace", "frown-open", "flushed",
    "dizzy", "angry", "smile", "meh", "frown",
]
# fmt: on


def make(progress: Progress) -> schema.Arrays:
    """Every icon at every scale; the three splits differ in place only.

    Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.1.
    """
    arrays = schema.blank(len(ICONS), 1, 1) | {"lbldata": np.array(ICONS)}
    drawings = icon_drawings()
    rng = np.random.RandomState(SEED)
    for number, icon in enumerate(ICONS):
        for row, side in enumerate(schema.SCALE_AXIS):
            picture = render(drawings[icon], side)
            for split in range(len(schema.SPLITS)):
                corner = draw_corner(side, rng)
                arrays["psts"][split, row, number, 0] = corner
                arrays["imgs"][split, row, number, 0] = place(picture, corner)
        progress(number + 1, len(ICONS))
    return arrays


def icon_drawings() -> dict[str, str]:
    """The SVG text of each icon, from the installed package."""
    try:
        shipped = files(PACKAGE) or []
    except PackageNotFoundError as error:
        raise StirError(
            f"The emoji are drawn from the Python package {PACKAGE}, which is not installed; "
            f"pip install {PACKAGE}==5.15.3 brings it."
        ) from error
    paths = {path.stem: path for path in shipped if path.parent.as_posix().endswith(FOLDER)}
    missing = [icon for icon in ICONS if icon not in paths]
    if missing:
        raise StirError(
            f"The package {PACKAGE} must be version 5.15.3, which has all {len(ICONS)} icons; the "
            f"one installed lacks {', '.join(missing)}."
        )
    return {icon: paths[icon].read_text() for icon in ICONS}


def render(drawing: str, side: int) -> NDArray[np.uint8]:
    """How much of each pixel the icon covers, 0..255, shape (side, side).

    The icon keeps its aspect ratio and is centred. It is drawn at twice the size and averaged,
    because resvg's own smoothing of edges is coarse: so it comes within 0.8 grey levels of what
    Cairo, which drew the published images, gives on average, instead of 1.9.
    """
    size = f'width="{2 * side}" height="{2 * side}"'
    png = resvg_py.svg_to_bytes(
        svg_string=drawing.replace("<svg ", f"<svg {size} ", 1), skip_system_fonts=True
    )
    with Image.open(io.BytesIO(png)) as image:
        coverage = np.asarray(image.getchannel("A"), np.uint16)
    quarters = coverage.reshape(side, 2, side, 2).sum(axis=(1, 3))
    return ((quarters + 2) // 4).astype(np.uint8)
