"""The idx files of MNIST, gzipped or plain."""

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stir import archive
from stir.errors import StirError

IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
GZIP_START = b"\x1f\x8b"
MOST_BYTES = 100_000_000  # of a file, also unpacked: twice the largest of MNIST


def read_images(folder: Path, stem: str) -> NDArray[np.uint8]:
    """Grey images (count, rows, columns) of ``folder/STEM-images-idx3-ubyte[.gz]``."""
    return _read(folder, f"{stem}-images-idx3-ubyte", IMAGES_MAGIC, axes=3)


def read_labels(folder: Path, stem: str) -> NDArray[np.uint8]:
    """Labels (count,) of ``folder/STEM-labels-idx1-ubyte[.gz]``."""
    return _read(folder, f"{stem}-labels-idx1-ubyte", LABELS_MAGIC, axes=1)


def _read(folder: Path, name: str, magic: int, *, axes: int) -> NDArray[np.uint8]:
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.exists()), None)
    if path is None:
        raise StirError(f"MNIST must have the file {name}.gz or {name}; {folder} has neither.")
    data = _bytes(path)
    start = 4 + 4 * axes
    if len(data) < start:
        raise StirError(f"An idx file starts with {start} bytes of header; {path} has {len(data)}.")
    found, *shape = struct.unpack(f">{axes + 1}I", data[:start])
    if found != magic:
        raise StirError(f"{path} must start with the number {magic}; it starts with {found}.")
    wanted = int(np.prod(shape, dtype=object))
    if len(data) - start != wanted:
        raise StirError(
            f"{path} must hold {' x '.join(map(str, shape))} = {wanted} bytes after its header; "
            f"it holds {len(data) - start}."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _bytes(path: Path) -> bytes:
    data = archive.read_bytes(path, MOST_BYTES)
    if not data.startswith(GZIP_START):
        return data
    try:
        unpacked = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise StirError(f"{path} must be a whole gzip file; it cannot be read: {error}.") from error
    if len(unpacked) > MOST_BYTES:
        raise StirError(f"{path} may unpack to at most {MOST_BYTES:,} bytes; it has more.")
    return unpacked
