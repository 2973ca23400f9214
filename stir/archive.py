"""Files on disk: whole or not there at all, read without trusting what is in them."""

import math
import os
import shutil
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from stir.errors import StirError

UNREADABLE = (
    ValueError,
    EOFError,
    NotImplementedError,  # an unknown way of compressing
    RuntimeError,  # encrypted
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
BLOCK_BYTES = 1 << 20


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends without an error.

    The folder is made when missing. Whatever goes wrong, ``path`` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before the work of filling it."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise StirError(f"The folder to write to must be one that can be; {existing} is not.")


def write(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays as a compressed ``.npz``, lightly: black margins shrink most at any level."""
    with (
        written(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle,
    ):
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # no time of day: equal arrays, equal file
            entry.compress_type = zipfile.ZIP_DEFLATED
            with bundle.open(entry, "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


def read(path: str | Path, names: Iterable[str] | None = None) -> dict[str, NDArray]:
    """Arrays of an ``.npz`` by name, all of them unless told which; never a pickled object.

    An array's size is compared with the space it claims in the file before memory is taken.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            members = {Path(item.filename).stem: item for item in bundle.infolist()}
            wanted = members if names is None else [name for name in names if name in members]
            return {name: _array(bundle, members[name]) for name in wanted}
    except FileNotFoundError as error:
        raise StirError(f"A STIR file must be there to be read; {path} is not.") from error
    except (*UNREADABLE, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise  # the file's fault, not its content's
        raise StirError(
            f"A STIR file is a whole .npz archive of plain arrays; {path} cannot be read as one: "
            f"{' '.join(str(error).split()) or type(error).__name__}."
        ) from error


def _array(bundle: zipfile.ZipFile, item: zipfile.ZipInfo) -> NDArray:
    with cast(zipfile.ZipExtFile, bundle.open(item)) as member:
        shape, fortran, dtype = _header(member)
        if dtype.hasobject:
            raise ValueError(f"{item.filename} holds pickled objects")
        if math.prod(shape) * dtype.itemsize != item.file_size - member.tell():
            raise ValueError(f"{item.filename} has another size than its header says")
        array = np.empty(shape, dtype, order="F" if fortran else "C")
        view = array.reshape(-1, order="A").view(np.uint8).data
        done = 0
        while done < len(view):
            count = member.readinto(view[done : done + BLOCK_BYTES])
            if not count:  # a wrong checksum is noticed by zipfile, at the last byte
                raise EOFError(f"{item.filename} ends early")
            done += count
    return array


def _header(member: zipfile.ZipExtFile) -> tuple[tuple[int, ...], bool, np.dtype]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            version = npy.read_magic(member)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            return read(member)
        except UNREADABLE:
            raise
        except Exception as error:  # numpy parses a header as Python: a spoilt one raises anything
            raise ValueError(f"{member.name} starts with no header of an array") from error


def unpack(path: str | Path, folder: str | Path) -> Path:
    """Write each array of an ``.npz`` as its own ``.npy`` in a folder, to be mapped into memory.

    Several processes may do so at once: each fills a folder of its own, the first to rename
    wins, and a folder that is there is whole. Opened by ``STIRDataset(folder)``.
    """
    folder = Path(folder)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, array in read(path).items():
            with (temporary / f"{name}.npy").open("wb") as file:
                npy.write_array(file, array, allow_pickle=False)
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
