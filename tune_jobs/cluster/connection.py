"""The Ray that a run uses: one of its own on this machine, or a cluster that is there."""

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.exceptions import RayError

from tune_jobs.cluster.address import LOCAL
from tune_jobs.errors import TuneJobsError

OBJECT_STORE_BYTES = 100 * 2**20  # Ray carries no images: trials map them from the node's disk
CONNECT_SECONDS = 5.0
RAY_REFUSES = (OSError, RuntimeError, ValueError, RayError)


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
def ray_session(
    folder: Path, *, address: str = LOCAL, cpus: int, gpus_per_trial: float = 0.0
) -> Iterator[None]:
    """Be connected to a Ray until the end.

    The address ``local`` starts one here with so many ``cpus`` for trials and its files in
    ``folder``; ``auto`` is the cluster that this machine is part of, else HOST:PORT of one. Raises
    TuneJobsError where no cluster answers, and where a trial wants more GPUs than this machine
    has: Ray would wait for ever.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL:
        _start(folder, cpus)
    else:
        _join(address)
    try:
        if address == LOCAL:
            _require_gpus(gpus_per_trial)
        yield
    finally:
        ray.shutdown()


def count_nodes() -> int:
    """How many machines the cluster has now."""
    return sum(node["Alive"] for node in ray.nodes())


def _start(folder: Path, cpus: int) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
    except RAY_REFUSES as error:
        raise TuneJobsError(
            f"Ray must be able to start on this machine; it says: {_reason(error)}."
        ) from None


def _join(address: str) -> None:
    try:
        host, _, port = address.rpartition(":")
        if port.isdigit():  # Ray itself would try for long
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except RAY_REFUSES as error:
        raise TuneJobsError(
            f"--address must be of a Ray cluster that runs and whose token RAY_AUTH_TOKEN holds; "
            f"{address} does not let us in: {_reason(error)}. `ray start --head` starts a cluster; "
            "without --address this machine is used."
        ) from None


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()).partition(". ")[0]


def _require_gpus(wanted: float) -> None:
    gpus = ray.cluster_resources().get("GPU", 0)
    if wanted > gpus:
        raise TuneJobsError(
            f"A trial of this study takes {wanted:g} GPU; this machine has {gpus:g}. "
            "Set resources.gpus to 0 to train on the CPU."
        )
