"""Write files whole or not at all, and read archives of arrays without trusting their content."""

import io
import math
import os
import secrets
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
MOST_BYTES = 1_500_000_000  # of the arrays that are read, twice the largest published dataset
HEADER_BYTES = 10_000  # of one array, as numpy's own limit


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends without an error.

    The folder is made when missing. Whatever goes wrong, ``path`` is as it was before. Who may read
    the file follows the umask, as for any new file: no permission is changed, which file systems
    such as CIFS refuse.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def beside(path: Path) -> Path:
    """A hidden name in the folder of ``path`` that nothing else has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}")


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before the work of filling it.

    A file is created and removed, in the nearest folder above if it is not there yet: permissions
    alone say too little on a network or a read-only file system.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    probe = beside(existing / "writable")
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise StirError(
            f"The folder to write to must be one that can be; {existing} is not: {error.strerror}."
        ) from error


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file of at most so many bytes; StirError for any other."""
    if not stat.S_ISREG(path.stat().st_mode):  # a device or a pipe may never end
        raise StirError(f"A file to read must be a regular one; {path} is not.")
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise StirError(f"{path} may have at most {most_bytes:,} bytes; it has more.")
    return data


def write(path: str | Path, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays as a compressed ``.npz``, lightly: black margins shrink most at any level."""
    with (
        written(Path(path)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle,
    ):
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # no time of day: equal arrays, equal file
            entry.compress_type = zipfile.ZIP_DEFLATED
            with bundle.open(entry, "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an array before it is unpacked."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    start: int  # bytes of the header, before those of the array

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def headers(path: str | Path, names: Iterable[str]) -> dict[str, Header]:
    """The headers of the arrays of an ``.npz`` that have one of those names."""
    with _opened(path) as bundle:
        return {name: _header(bundle, item) for name, item in _members(bundle, names).items()}


def read(path: str | Path, names: Iterable[str] | None = None) -> dict[str, NDArray]:
    """Arrays of an ``.npz`` by name, all of them without ``names``; never a pickled object.

    The size that an array's header gives is compared with its size in the file, and the sum of
    all with MOST_BYTES, before anything is unpacked: a small file can claim to hold very much.
    """
    with _opened(path) as bundle:
        members = _members(bundle, names)
        found = {name: _header(bundle, item) for name, item in members.items()}
        total = sum(header.nbytes for header in found.values())
        if total > MOST_BYTES:
            raise ValueError(
                f"its arrays may take {MOST_BYTES:,} bytes of memory and would take {total:,}"
            )
        return {name: _array(bundle, members[name], header) for name, header in found.items()}


@contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """An ``.npz``; whatever turns out to be wrong with its content is a StirError."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a device or a pipe may never end
            raise ValueError("it is not a regular file")
        with zipfile.ZipFile(path) as bundle:
            yield bundle
    except FileNotFoundError as error:
        raise StirError(f"A STIR file must be there to be read; {path} is not.") from error
    except (*UNREADABLE, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise  # the file's fault, not its content's
        raise StirError(
            f"A STIR file is a whole .npz archive of plain arrays; {path} cannot be read as one: "
            f"{' '.join(str(error).split()) or type(error).__name__}."
        ) from error


def _members(bundle: zipfile.ZipFile, names: Iterable[str] | None) -> dict[str, zipfile.ZipInfo]:
    """The wanted arrays that an archive has, in the order of ``names``."""
    found: dict[str, zipfile.ZipInfo] = {}
    for item in bundle.infolist():
        name = Path(item.filename).stem
        if name in found:
            raise ValueError(
                f"{item.filename} and {found[name].filename} are two arrays of one name"
            )
        found[name] = item
    return found if names is None else {name: found[name] for name in names if name in found}


def _header(bundle: zipfile.ZipFile, item: zipfile.ZipInfo) -> Header:
    with bundle.open(item) as member:
        file = io.BytesIO(member.read(HEADER_BYTES))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran_order, dtype = read(file)
        except UNREADABLE:
            raise
        except Exception as error:  # numpy parses a header as Python: a damaged one raises anything
            raise ValueError(f"{item.filename} starts with no header of an array") from error
    header = Header(shape, dtype, fortran_order, file.tell())
    if header.dtype.hasobject:
        raise ValueError(f"{item.filename} holds pickled objects")
    if header.nbytes != item.file_size - header.start:
        raise ValueError(f"{item.filename} has another size than its header says")
    return header


def _array(bundle: zipfile.ZipFile, item: zipfile.ZipInfo, header: Header) -> NDArray:
    order = "F" if header.fortran_order else "C"
    array = np.empty(header.shape, header.dtype, order=order)
    view = array.reshape(-1, order="A").view(np.uint8).data
    with cast(zipfile.ZipExtFile, bundle.open(item)) as member:
        member.read(header.start)
        done = 0
        while done < len(view):
            count = member.readinto(view[done : done + BLOCK_BYTES])
            if not count:  # a wrong checksum is noticed by zipfile, at the last byte
                raise EOFError(f"{item.filename} ends early")
            done += count
    return array
