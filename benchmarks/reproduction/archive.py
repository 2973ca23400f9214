"""The records and evaluations of storages as one small file, and back.

Weights, checkpoints and datasets stay out: a study goes on without them, an evaluation does not.
"""

import io
import lzma
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tune_jobs.storage import Storage

FOLDERS = ("evaluations", "failed", "index_maps", "records", "studies")


def pack(storages: Mapping[str, Path], archive: Path) -> int:
    """Write the folders that are storages, each under its name, to ``archive``.

    The same contents give the same bytes. Returns the number of objects.
    """
    buffer = io.BytesIO()
    objects = dict(_objects(storages))
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in objects.items():
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(entry, content)
    packed = lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    Storage(archive.parent).write(archive.name, packed)
    return len(objects)


def unpack(archive: Path, folder: Path) -> None:
    """Put the storages of ``archive`` into ``folder``; what is there already stays as it is."""
    with tarfile.open(archive) as tar:
        missing = [entry for entry in tar if not (folder / entry.name).exists()]
        tar.extractall(folder, members=missing, filter="data")


def _objects(storages: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name, storage in sorted(storages.items()):
        for folder in FOLDERS:
            for path in sorted((storage / folder).rglob("*")):
                if path.is_file():
                    yield f"{name}/{path.relative_to(storage).as_posix()}", path
