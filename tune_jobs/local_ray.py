"""A Ray of one's own on this machine, and where it keeps its files."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from tune_jobs.errors import TuneJobsError

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
def local_ray(folder: Path, *, cpus: int, gpus_per_trial: float = 0.0) -> Iterator[None]:
    """Ray with so many CPUs for trials, gone at the end.

    Raises TuneJobsError where a trial wants more GPUs than there are: Ray would wait for ever.
    """
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
        gpus = ray.cluster_resources().get("GPU", 0)
        if gpus_per_trial > gpus:
            raise TuneJobsError(
                f"A trial of this study takes {gpus_per_trial:g} GPU; this machine has {gpus:g}. "
                "Set resources.gpus to 0 to train on the CPU."
            )
        yield
    finally:
        ray.shutdown()
