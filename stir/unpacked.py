"""An unpacked dataset: a folder of one ``.npy`` file for each array, to be mapped into memory."""

import os
import shutil
from pathlib import Path

from numpy.lib import format as npy
from numpy.typing import NDArray

from stir import archive
from stir.errors import StirError
from stir.schema import NAMES


def unpack(path: str | Path, folder: str | Path) -> Path:
    """Write each array of a STIR file as its own ``.npy`` in a folder, to be mapped into memory.

    Several processes may do so at once: each fills a folder of its own, the first to rename
    wins, and a folder that is there is whole. Opened by ``STIRDataset(folder)``.
    """
    folder = Path(folder)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = archive.beside(folder)
    temporary.mkdir()
    try:
        for name, array in archive.read(path, NAMES).items():
            with (temporary / f"{name}.npy").open("wb") as file:
                npy.write_array(file, array, allow_pickle=False)
                os.fsync(file.fileno())
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def mapped(folder: Path) -> dict[str, NDArray]:
    """The arrays of an unpacked dataset, mapped into memory read-only."""
    try:
        return {
            name: npy.open_memmap(folder / f"{name}.npy", mode="r")
            for name in NAMES
            if (folder / f"{name}.npy").is_file()
        }
    except (ValueError, EOFError) as error:
        raise StirError(
            f"An unpacked dataset is a folder of plain .npy arrays; {folder} cannot be read as "
            f"one: {error}."
        ) from error
