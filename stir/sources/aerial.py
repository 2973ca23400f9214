"""Objects in aerial photos, from the Dataset for Object Detection in Aerial Images, DOTA v1.5."""

import math
from collections import defaultdict
from pathlib import Path, PurePosixPath

from stir import schema
from stir.errors import StirError
from stir.sources import photos
from stir.sources.crops import Sighting
from stir.sources.gather import SMALLEST, Chosen, gather, largest, require_classes
from stir.terminal import Progress

LABELS = ("train/DOTA-v1.5_train.zip", "val/DOTA-v1.5_val.zip")
PHOTOS = ("train/part1.zip", "train/part2.zip", "train/part3.zip", "val/part1.zip")
SOURCE = "GoogleEarth"
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
    """Every upright object with room around it in a colour photo of Google Earth.

    Whatever else is left out is named in a warning, except photos of other sources and objects
    that are tilted or too near the edge, which the published dataset leaves out as well.
    """
    found: list[Sighting] = []
    left_out: dict[str, list[str]] = defaultdict(list)
    seen = set()
    for archive in (raw_dir / name for name in LABELS):
        for member in photos.members(archive):
            key, kind = PurePosixPath(member).stem, PurePosixPath(member).suffix
            if kind != ".txt":
                continue
            header, lines = _split(_lines(archive, member))
            if "imagesource" not in header:
                left_out["annotation files name no image source and are left out"].append(member)
            elif header["imagesource"] != SOURCE:
                continue
            elif key in seen:
                left_out["annotation files are of a photo that has one, and left out"].append(
                    member
                )
            elif key not in photo_of:
                left_out["annotated photos are in no archive and left out"].append(key)
            else:
                seen.add(key)
                found += _of_photo(photo_of[key], member, lines, left_out)
    for what, named in left_out.items():
        photos.warn_of(named, what)
    return found


def _of_photo(
    photo: photos.Photo, member: str, lines: list[str], left_out: dict[str, list[str]]
) -> list[Sighting]:
    """The objects of one photo, in order of appearance."""
    try:
        width, height, mode = photos.measure(photo)
    except photos.UnusableError as error:
        left_out["annotated photos are left out"].append(str(error))
        return []
    if mode != "RGB":
        left_out["annotated photos have not three colour channels and are left out"].append(
            f"{photo.member} ({mode})"
        )
        return []
    found = []
    for number, line in enumerate(lines):
        try:
            corners, label = _corners(line)
        except ValueError as error:
            left_out["annotated objects are not in the form of the dataset and left out"].append(
                f"{number} of {member} ({error})"
            )
            continue
        thing = _sighting(photo, number, label, corners)
        if _fits(thing, corners, width, height):
            found.append(thing)
    return found


def _lines(archive: Path, member: str) -> list[str]:
    try:
        return photos.read(archive, member).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise StirError(
            f"An annotation must be text; {member} in {archive} is not: {error.reason}."
        ) from error


def _split(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """The header, lines such as ``imagesource:GoogleEarth`` and ``gsd:0.1``, and the objects."""
    header = {}
    for number, line in enumerate(lines):
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            return header, lines[number:]
        header[name.strip()] = value.strip()
    return header, []


def _corners(line: str) -> tuple[list[int], str]:
    """The four corners x1 y1 .. x4 y4 in whole pixels, with or without a point, and the label."""
    columns = line.split()
    if len(columns) < 9:
        raise ValueError("fewer than eight numbers and a label")
    try:
        return [int(float(word)) for word in columns[:8]], columns[8]
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
