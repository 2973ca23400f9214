"""Traffic signs, from the Mapillary Traffic Sign Dataset v2 (fully annotated)."""

import json
import math
from collections import Counter
from pathlib import Path, PurePath

from stir import archive, schema
from stir.errors import StirError
from stir.sources import photos
from stir.sources.crops import Sighting
from stir.sources.gather import SMALLEST, Chosen, gather, largest, require_classes
from stir.terminal import Progress

ANNOTATIONS = "mtsd_v2_fully_annotated"
ARCHIVES = ("train.0.zip", "train.1.zip", "train.2.zip", "val.zip")
SPLIT_FILES = ("train.txt", "val.txt")
CATCH_ALL = "other-sign"
NEARLY_SQUARE = 5  # px that width and height of a sign's box differ by at most, excluded


def make(raw_dir: Path, progress: Progress) -> schema.Arrays:
    """The 75 largest signs of each class that has only large ones among them.

    Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.1. The published crops were
    drawn without a seed; these are others, drawn with one.
    """
    try:
        photo_of = photos.index([raw_dir / name for name in ARCHIVES], ".jpg")
        return gather(read_signs(raw_dir / ANNOTATIONS, photo_of), choose, progress)
    finally:
        photos.close_all()


def choose(candidates: list[Sighting]) -> Chosen:
    """The largest signs of every class whose 75 largest are all large."""
    chosen = {
        label: signs
        for label, signs in largest(candidates, shorter_side).items()
        if shorter_side(signs[-1]) >= SMALLEST
    }
    return require_classes(chosen, candidates)


def shorter_side(sign: Sighting) -> int:
    return min(sign.width, sign.height)


def read_signs(folder: Path, photo_of: dict[str, photos.Photo]) -> list[Sighting]:
    """Every nearly square sign with no special property, in order of appearance."""
    signs, malformed, homeless = [], [], []
    for key in _keys(folder / "splits"):
        for number, entry in enumerate(_entries(folder / "annotations" / f"{key}.json")):
            try:
                label, box = _label_and_box(entry)
            except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
                malformed.append(f"{number} of {key}.json ({_message(error)})")
                continue
            if label is None or abs((box[2] - box[0]) - (box[3] - box[1])) >= NEARLY_SQUARE:
                continue
            if key not in photo_of:
                homeless.append(f"{label} {number} of {key}")
                continue
            signs.append(Sighting(photo_of[key], number, label, *box, oblong=False))
    photos.warn_of(malformed, "annotated objects are not in the form of the dataset and left out")
    photos.warn_of(homeless, "objects are in photos that no archive has and left out")
    return signs


def _keys(folder: Path) -> list[str]:
    """The photos of all lists, each once."""
    keys = Counter(key for name in SPLIT_FILES for key in _listed(folder / name))
    doubled = [key for key, count in keys.items() if count > 1]
    photos.warn_of(doubled, "photos are listed more than once and taken once")
    return list(keys)


def _listed(path: Path) -> list[str]:
    if not path.exists():
        raise StirError(
            f"The raw data must have the list of photos {path.name}; {path} is missing."
        )
    try:
        keys = archive.read_bytes(path, photos.MOST_TEXT_BYTES).decode("utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise StirError(f"{path} must be a text of photo names; got {error.reason}.") from error
    for key in keys:
        if PurePath(key).name != key or key == ".." or "\0" in key:
            raise StirError(f"{path} must list photos by name without a folder; got {key!r:.80}.")
    return keys


def _entries(path: Path) -> list:
    try:
        entries = json.loads(archive.read_bytes(path, photos.MOST_TEXT_BYTES))["objects"]
    except FileNotFoundError as error:
        raise StirError(
            f"Every photo listed must have an annotation; {path} is missing."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StirError(
            f"An annotation must be a JSON object with the key 'objects'; {path} is not: "
            f"{_message(error)}."
        ) from error
    if not isinstance(entries, list):
        raise StirError(f"'objects' of an annotation must be a list; in {path} it is {entries!r}.")
    return entries


def _label_and_box(entry: dict) -> tuple[str | None, tuple[int, int, int, int]]:
    """Label and left, top, right, bottom of a sign; no label if it is not for the benchmark."""
    box, label = entry["bbox"], entry["label"]
    special = any(entry["properties"].values()) or label == CATCH_ALL
    if not isinstance(label, str) or not label:
        raise TypeError(f"its label is {label!r}")
    low = math.floor(box["xmin"]), math.floor(box["ymin"])
    high = math.ceil(box["xmax"]), math.ceil(box["ymax"])
    return None if special else label, (*low, *high)


def _message(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
