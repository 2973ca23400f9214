"""The format of a STIR file: its arrays, the checks of their values, and their fingerprint.

The scale axis runs down: index i holds objects of side 64 - i pixels.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stir import archive
from stir.catalogue import BUILT_IN, slug
from stir.errors import StirError

Arrays = dict[str, NDArray]


class Shaped(Protocol):
    """An array, or its header."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...


CANVAS = 64  # pixels, side of every image
SPLITS = ("train", "valid", "test")
SCALE_AXIS = range(64, 16, -1)  # object sides in pixels, in the order of the file
NAMES = ("imgs", "lbls", "scls", "psts", "metadata", "lbldata")
METADATA = ("title", "description", "author", "license", "version", "date")
# Class, scale and place follow from the order of the file or are measured; only these are hashed.
HASHED = {"imgs": "u1", "lbls": "<i8", "scls": "<i8", "psts": "<i8"}


def blank(num_classes: int, instances: int, channels: int) -> Arrays:
    """Black images with the labels and scales of a dataset of that size filled in."""
    if channels not in (1, 3):
        raise StirError(f"A STIR dataset has 1 or 3 channels; got {channels}.")
    index = (len(SPLITS), len(SCALE_AXIS), num_classes, instances)
    colour = (3,) if channels == 3 else ()
    images = np.zeros((*index, CANVAS, CANVAS, *colour), np.uint8)
    return {"imgs": images, **labels_and_scales(index), "psts": np.zeros((*index, 2), np.int64)}


def labels_and_scales(index: tuple[int, ...]) -> Arrays:
    """What lbls and scls must hold in a file of this (split, scale, class, instance) shape."""
    return {
        "lbls": np.broadcast_to(np.arange(index[2])[:, None], index).astype(np.int64),
        "scls": np.broadcast_to(np.array(SCALE_AXIS)[:, None, None], index).astype(np.int64),
    }


def fingerprint(arrays: Mapping[str, NDArray]) -> str:
    """SHA-256 over images, labels, scales and positions, as 64 hex digits.

    It depends on the values only: not on integer width, memory order, compression or the text
    in the metadata.
    """
    digest = hashlib.sha256()
    for name, dtype in HASHED.items():
        array = arrays[name]
        digest.update(f"{name}{array.shape}".encode())
        for block in array.reshape(-1, *array.shape[3:]):  # a class of one scale and split
            digest.update(np.ascontiguousarray(block, dtype=dtype).data)
    return digest.hexdigest()


def check(path: str | Path) -> list[str]:
    """Say in one sentence each what is wrong with the file; an empty list means nothing is."""
    try:
        found = header_faults(archive.headers(path, NAMES))
        return found or faults(archive.read(path, NAMES))
    except (StirError, OSError) as error:
        return [str(error)]


def read(path: str | Path) -> Arrays:
    """The arrays of a STIR file; StirError before they are unpacked if their form is wrong."""
    if found := header_faults(archive.headers(path, NAMES)):
        raise StirError(f"{path} is not a STIR file: {found[0]}")
    return archive.read(path, NAMES)


def faults(arrays: Mapping[str, NDArray]) -> list[str]:
    """What is wrong with the arrays, one sentence each; values are checked if the shapes fit."""
    return form_faults(arrays) or _value_faults(arrays)


def form_faults(arrays: Mapping[str, NDArray]) -> list[str]:
    """What is wrong with names, shapes and dtypes, one sentence each; checks no image."""
    if found := header_faults(arrays):
        return found
    names = arrays["lbldata"].tolist()
    if len(set(names)) != len(names):
        return [f"Class names in lbldata must differ; got {names!r:.200}."]
    return []


def header_faults(arrays: Mapping[str, Shaped]) -> list[str]:
    """What is wrong with names, shapes and dtypes, which are known before arrays are unpacked."""
    missing = [
        f"Array {name!r} is missing; a STIR file holds {', '.join(NAMES)}."
        for name in NAMES
        if name not in arrays
    ]
    if missing:
        return missing
    images = arrays["imgs"]
    shape = images.shape
    grey, colour = len(shape) == 6, len(shape) == 7 and shape[-1] == 3
    if not (grey or colour) or shape[:2] != (3, 48) or shape[4:6] != (64, 64) or 0 in shape:
        return [
            "imgs must have the shape (3, 48, classes, instances, 64, 64), with a last axis of 3 "
            f"for colour; got {shape!s:.80}."
        ]
    index = shape[:4]
    shapes = {"lbls": index, "scls": index, "psts": (*index, 2)}
    shapes |= {"metadata": (len(METADATA), 2), "lbldata": (index[2],)}
    found = []
    if images.dtype != np.uint8:
        found.append(f"imgs must be uint8, grey levels 0..255; got {images.dtype}.")
    for name, wanted in shapes.items():
        array = arrays[name]
        if array.shape != wanted:
            found.append(f"{name} must have the shape {wanted}; got {array.shape!s:.80}.")
        kinds, content = ("iu", "integers") if name in HASHED else ("U", "text")
        if array.dtype.kind not in kinds:
            found.append(f"{name} must hold {content}; got {array.dtype}.")
    return found


def _value_faults(arrays: Mapping[str, NDArray]) -> list[str]:
    found = []
    keys = [str(key) for key in arrays["metadata"][:, 0]]
    if set(keys) != set(METADATA):
        found.append(f"metadata must have the keys {', '.join(METADATA)}; got {keys}.")
    elif not slug(dict(arrays["metadata"].tolist())["title"]):
        found.append("The title in metadata must have a letter or digit; got none.")
    wanted = labels_and_scales(arrays["lbls"].shape)
    for name, meaning in {"lbls": "the class number", "scls": "64 - scale index"}.items():
        wrong = np.not_equal(arrays[name], wanted[name])
        if wrong.any():
            place = _first(wrong)
            found.append(
                f"{name} must be {meaning}; {int(wrong.sum())} of {wrong.size} differ, the first "
                f"at {place}: {int(arrays[name][place])}."
            )
    return found + _box_faults(arrays) + _image_faults(arrays["imgs"])


def _box_faults(arrays: Mapping[str, NDArray]) -> list[str]:
    """Boxes that leave the image: a box is the scls x scls square whose corner is psts.

    Of an object that is not square, scls is the longer side and the other is not in the file, so
    that one axis may seem to leave the image; rounding adds a pixel to either.
    """
    corners = arrays["psts"].astype(np.int64)
    sides = labels_and_scales(corners.shape[:4])["scls"]
    ends = corners + sides[..., None]
    title = dict(arrays["metadata"].tolist()).get("title", "")
    if any(facts.title == title and not facts.square for facts in BUILT_IN.values()):
        outside = (corners >= CANVAS).any(-1) | (ends > CANVAS + 1).all(-1)
    else:
        outside = (ends > CANVAS).any(-1)
    outside = np.logical_or(outside, (corners < 0).any(-1))
    if not outside.any():
        return []
    place = _first(outside)
    return [
        f"Boxes must lie inside the {CANVAS} px image; {int(outside.sum())} of {outside.size} do "
        f"not, the first at {place}: side {int(sides[place])} from (x, y) = "
        f"{tuple(corners[place].tolist())}."
    ]


def _image_faults(images: NDArray[np.uint8]) -> list[str]:
    black = np.logical_not(images.reshape(*images.shape[:4], -1).any(-1))
    if not black.any():
        return []
    return [
        f"Every image must show an object; {int(black.sum())} of {black.size} are black all over, "
        f"the first at {_first(black)}."
    ]


def _first(where: NDArray[np.bool_]) -> tuple[int, ...]:
    """Index (split, scale, class, instance) of the first true element."""
    return tuple(int(i) for i in np.argwhere(where)[0])
