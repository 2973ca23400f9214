"""Photos in zip archives: indexed, measured and decoded one at a time, never unpacked to disk."""

import logging
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import Image

from stir.errors import StirError

log = logging.getLogger("stir")

NAMED = 10  # in a warning, before the rest are only counted
UNDECODABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)


FORMATS = ("PNG", "JPEG")  # of the datasets; Pillow would start other programs to read some others
MOST_TEXT_BYTES = 64_000_000  # of an annotation or list


class UnusableError(StirError):
    """An object or photo that must be passed over, and why."""


@dataclass(frozen=True, slots=True)
class Photo:
    """An image file in an archive."""

    archive: Path
    member: str


def index(archives: Iterable[Path], suffix: str) -> dict[str, Photo]:
    """Every photo of the archives by its name without folder and suffix, in archive order.

    Of several photos of one name the last is taken, and a warning names them.
    """
    found: dict[str, Photo] = {}
    doubled = []
    for photo in (Photo(path, member) for path in archives for member in members(path)):
        if photo.member.lower().endswith(suffix):
            key = PurePosixPath(photo.member).stem
            if key in found:
                doubled.append(f"{photo.member} in {photo.archive.name}")
            found[key] = photo
    warn_of(doubled, "photos have the name of one before, and are taken instead of it")
    return found


def members(archive: Path) -> list[str]:
    """Names of the files in an archive, without those that macOS adds to the ones it makes."""
    if not archive.exists():
        raise StirError(f"The raw data must have the archive {archive.name}; {archive} is missing.")
    try:
        names = [item.filename for item in opened(archive).infolist() if not item.is_dir()]
    except UNDECODABLE as error:
        raise StirError(
            f"{archive} must be a whole zip archive; it cannot be read: {error}."
        ) from error
    return [name for name in names if not _is_of_macos(PurePosixPath(name))]


def _is_of_macos(name: PurePosixPath) -> bool:
    return "__MACOSX" in name.parts or name.name.startswith("._") or name.name == ".DS_Store"


def read(archive: Path, member: str) -> bytes:
    """One file of an archive, which must not be larger than an annotation may be."""
    try:
        size_bytes = opened(archive).getinfo(member).file_size
        if size_bytes > MOST_TEXT_BYTES:
            raise ValueError(
                f"it may have at most {MOST_TEXT_BYTES:,} bytes and has {size_bytes:,}"
            )
        return opened(archive).read(member)
    except UNDECODABLE as error:
        raise StirError(f"{member} in {archive} cannot be read: {error}.") from error


@cache
def opened(archive: Path) -> zipfile.ZipFile:
    """An archive that stays open, for its table of contents is long; ``close_all`` closes it."""
    return zipfile.ZipFile(archive)


def close_all() -> None:
    """Forget every open archive."""
    opened.cache_clear()


@contextmanager
def _image(photo: Photo) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # aerial photos are big; others have odd tags
        try:
            with (
                opened(photo.archive).open(photo.member) as file,
                Image.open(file, formats=FORMATS) as image,
            ):
                yield image
        except UnusableError:
            raise
        except UNDECODABLE as error:
            raise UnusableError(f"the photo {photo.member} cannot be read ({error})") from error


def measure(photo: Photo) -> tuple[int, int, str]:
    """Width, height and Pillow mode, from the photo's header."""
    with _image(photo) as image:
        return *image.size, image.mode


def decode(photo: Photo) -> Image.Image:
    """The photo's pixels, red-green-blue; grey and palettes are converted, transparency is dropped.

    Raises UnusableError for a photo of more than 8 bits a channel that Pillow cannot convert.
    """
    with _image(photo) as image:
        if image.mode.startswith(("I", "F")):
            raise UnusableError(
                f"the photo {photo.member} must have 8 bits a channel; its mode is {image.mode}"
            )
        return image.convert("RGB")


def warn_of(named: Sequence[str], what: str) -> None:
    """Log a warning of how many things there are, with the first of them by name."""
    if named:
        rest = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        log.warning("%d %s: %s%s.", len(named), what, "; ".join(named[:NAMED]), rest)
