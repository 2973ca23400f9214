"""The Ray that a run uses: one of its own on this machine, or a cluster that is there."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from tune_jobs.cluster.address import LOCAL
from tune_jobs.cluster.token import protect_token
from tune_jobs.errors import TuneJobsError

OBJECT_STORE_BYTES = 100 * 2**20  # Ray carries no images: trials map them from the node's disk
CONNECT_SECONDS = 5.0
END_SECONDS = 5.0  # that the system has to end the processes of a broken Ray
RAY_REFUSES = (OSError, RuntimeError, ValueError, RayError)
# Whether Ray listens to other machines. Its name is of other systems, but it decides on Linux too.
REMOTE_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


class RayLostError(OSError):
    """A process that this machine's Ray cannot do without has died."""


@contextmanager
def ray_session(
    folder: Path, *, address: str = LOCAL, cpus: int, gpus_per_trial: float = 0.0
) -> Iterator[Callable[[], None]]:
    """Be connected to a Ray until the end; yields a check, to be called now and then.

    The address ``local`` starts one here with so many ``cpus`` for trials and its files in
    ``folder``, which listens on loopback addresses only; ``auto`` is the cluster that this machine
    is part of, else HOST:PORT of one. Raises TuneJobsError where no cluster answers, and where a
    trial wants more GPUs than this machine has: Ray would wait for ever. The check raises
    RayLostError once a Ray of our own has lost a process; nothing of it is left behind.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Under `uv run` Ray would upload the current folder, whatever is in it, to its workers.
    _set_constants(RAY_ENABLE_UV_RUN_RUNTIME_ENV=False)
    if address != LOCAL:
        _join(address)
        try:
            yield lambda: None
        finally:
            ray.shutdown()
        return
    with _loopback_only():
        _start(folder, cpus)
        node: Any = import_module("ray._private.worker").global_worker.node
        begun = _family()
        try:
            _require_gpus(gpus_per_trial)
            yield lambda: _require_alive(node)
        except RayLostError:
            _end_processes(node, begun)
            raise
        finally:
            ray.shutdown()


def count_nodes() -> int:
    """How many machines the cluster has now."""
    return sum(node["Alive"] for node in ray.nodes())


def _set_constants(**values: bool) -> dict[str, bool]:
    """Change constants that Ray read from the environment when it was imported; returns the old."""
    constants = import_module("ray._private.ray_constants")
    before = {name: getattr(constants, name) for name in values}
    for name, value in values.items():
        setattr(constants, name, value)
    return before


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Let no process of a Ray that is started meanwhile listen to other machines."""
    variable, before = os.environ.get(REMOTE_VARIABLE), _set_constants(ENABLE_RAY_CLUSTER=False)
    os.environ[REMOTE_VARIABLE] = "0"
    try:
        yield
    finally:
        _set_constants(**before)
        os.environ.pop(REMOTE_VARIABLE)
        if variable is not None:
            os.environ[REMOTE_VARIABLE] = variable


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
    protect_token()  # Ray may just have made one


def _join(address: str) -> None:
    try:
        host, _, port = address.rpartition(":")
        if port.isdigit():  # Ray itself would try for long
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except RAY_REFUSES as error:
        raise TuneJobsError(
            f"--address must be of a Ray cluster that runs and whose token RAY_AUTH_TOKEN holds; "
            f"{address} refuses the connection: {_reason(error)}. `ray start --head` starts a "
            "cluster; without --address this machine is used."
        ) from None


def _require_alive(node: Any) -> None:
    """Raise RayLostError if a process that Ray needs has died; Ray itself notices after a minute.

    Its log monitor and the like may die: trials do not need them.
    """
    lost = sorted({kind for kind, _ in node.dead_processes()} & {"gcs_server", "raylet"})
    if lost:
        raise RayLostError(
            f"Ray's processes must stay alive; its {' and '.join(lost)} on this machine was ended. "
            "The same command goes on from the last checkpoints. Is memory short?"
        )


def _family() -> list[Any]:
    """The processes of a Ray of this process's own."""
    psutil: Any = import_module("psutil")  # Ray brings it
    return psutil.Process().children(recursive=True)


def _end_processes(node: Any, begun: list[Any]) -> None:
    """End what is left of a broken Ray, trials too.

    Of the processes that have ``begun`` with it, those of a raylet that has died, such as its
    agents, are nobody's children any more; they would notice after up to half a minute.
    """
    # Else a thread of Tune's that still asks for Ray would start another.
    hook: Any = import_module("ray._private.auto_init_hook")
    hook.enable_auto_connect = False
    psutil: Any = import_module("psutil")
    family = {*begun, *_family()}
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=END_SECONDS)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()).partition(". ")[0]


def _require_gpus(wanted: float) -> None:
    gpus = ray.cluster_resources().get("GPU", 0)
    if wanted > gpus:
        raise TuneJobsError(
            f"A trial of this study takes {wanted:g} GPU; this machine has {gpus:g}. "
            "Set resources.gpus to 0 to train on the CPU."
        )
