"""A Ray of one's own on this machine, and where it keeps its files."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

OBJECT_STORE_BYTES = 100 * 2**20  # Ray carries no images: trials map them from the node's disk


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for Ray's sockets and Tune's files; its path is short, as a socket's must be."""
    short = "/tmp" if Path("/tmp").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="tune-jobs-", dir=short))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def local_ray(folder: Path, cpus: int) -> Iterator[None]:
    """Ray with so many CPUs for trials, gone at the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=cpus,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(folder),
    )
    try:
        yield
    finally:
        ray.shutdown()
