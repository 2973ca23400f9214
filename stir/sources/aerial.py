"""Things seen from above, from the Dataset for Object Detection in Aerial Images, DOTA v1.5."""

import math
from pathlib import Path, PurePosixPath

from stir import schema
from stir.errors import StirError
from stir.progress import Progress
from stir.sources import photos
from stir.sources.crops import Sighting
from stir.sources.gather import SMALLEST, Chosen, gather, largest, require_classes

LABELS = ("train/DOTA-v1.5_train.zip", "val/DOTA-v1.5_val.zip")
PHOTOS = ("train/part1.zip", "train/part2.zip", "train/part3.zip", "val/part1.zip")
SOURCE = "imagesource:GoogleEarth"
HEADER_LINES = 2
UPRIGHT_DEGREES = 3.0
ROOM = 5  # the photo is at least so many times as long as the object, both ways


def make(raw_dir: Path, progress: Progress) -> schema.Arrays:
    """The 75 largest upright objects of each class that has so many large ones.

    Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.1. The published crops were
    drawn without a seed; these are others, drawn with one.
    """
    try:
        photo_of = photos.index([raw_dir / name for name in PHOTOS], ".png")
        return gather(read_objects(raw_dir, photo_of), choose, progress)
    finally:
        photos.close_all()


def choose(candidates: list[Sighting]) -> Chosen:
    """The largest objects of every class that has 75 of at least 64 px."""
    large = [thing for thing in candidates if longer_side(thing) >= SMALLEST]
    return require_classes(largest(large, longer_side), candidates)


def longer_side(thing: Sighting) -> int:
    return max(thing.width, thing.height)


def read_objects(raw_dir: Path, photo_of: dict[str, photos.Photo]) -> list[Sighting]:
    """Every upright object with room around it in a colour photo of Google Earth."""
    found, malformed, homeless, unread = [], [], [], []
    for archive in (raw_dir / name for name in LABELS):
        for member in photos.members(archive):
            key, kind = PurePosixPath(member).stem, PurePosixPath(member).suffix
            if kind != ".txt":
                continue
            lines = _lines(archive, member)
            if not lines or lines[0].strip() != SOURCE:
                continue
            if key not in photo_of:
                homeless.append(key)
                continue
            try:
                width, height, mode = photos.measure(photo_of[key])
            except photos.UnusableError as error:
                unread.append(str(error))
                continue
            for number, line in enumerate(lines[HEADER_LINES:]):
                try:
                    corners, label = _corners(line)
                except ValueError as error:
                    malformed.append(f"{number} of {member} ({error})")
                    continue
                thing = _sighting(photo_of[key], number, label, corners)
                if mode == "RGB" and _fits(thing, corners, width, height):
                    found.append(thing)
    photos.warn_of(malformed, "annotated objects are not in the form of the dataset and left out")
    photos.warn_of(homeless, "annotated photos are in no archive and left out")
    photos.warn_of(unread, "annotated photos are left out")
    return found


def _lines(archive: Path, member: str) -> list[str]:
    try:
        return photos.read(archive, member).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise StirError(
            f"An annotation must be text; {member} in {archive} is not: {error.reason}."
        ) from error


def _corners(line: str) -> tuple[list[int], str]:
    """The four corners x1 y1 .. x4 y4 in whole pixels, with or without a point, and the label."""
    words = line.split()
    if len(words) < 9:
        raise ValueError("fewer than eight numbers and a label")
    try:
        return [int(float(word)) for word in words[:8]], words[8]
    except OverflowError as error:
        raise ValueError("an infinite coordinate") from error


def _sighting(photo: photos.Photo, number: int, label: str, corners: list[int]) -> Sighting:
    x, y = corners[0::2], corners[1::2]
    return Sighting(photo, number, label, min(x), min(y), max(x), max(y), oblong=True)


def _fits(thing: Sighting, corners: list[int], width: int, height: int) -> bool:
    x1, y1, x2, y2 = corners[:4]
    upright = abs(math.degrees(math.atan2(y2 - y1, x2 - x1))) < UPRIGHT_DEGREES
    inside = thing.right <= width and thing.bottom <= height
    return upright and inside and min(width, height) >= ROOM * longer_side(thing)
