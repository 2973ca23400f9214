"""A run's own folder on this machine, which goes with the run, however that ends."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "tune-jobs-"
OWNER = "owner"  # a file in the folder, locked for as long as its process lives


@contextmanager
def scratch_folder(place: Path | None = None) -> Iterator[Path]:
    """A folder for Ray's sockets and Tune's files; its path is short, as a socket's must be.

    What runs that were killed have left in the same ``place`` is removed.
    """
    if place is None:
        place = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    for folder in place.glob(f"{PREFIX}*"):
        _remove_if_left(folder)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        with (folder / f".{OWNER}").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            (folder / f".{OWNER}").rename(folder / OWNER)  # nobody finds it unlocked
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder of this user's whose process is gone; all else stays."""
    with suppress(OSError):  # another user's, or locked
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        with (folder / OWNER).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
