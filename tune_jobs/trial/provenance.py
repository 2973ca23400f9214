"""Provenance: which code ran where, as a record states it beside its result."""

import json
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from siconvnet.fast import backend
from stir.cores import processor_name
from tune_jobs.errors import TuneJobsError
from tune_jobs.records.trial import Provenance

DISTRIBUTION = "scale-generalization"
CODE = ("--", "stir", "siconvnet", "tune_jobs")  # what decides results, of a commit
GIT_STATE = "git_state.json"  # beside the metadata of code that was sent to a cluster


def provenance(*, device: str, threads: int, ray_version: str | None) -> Provenance:
    """Describe this process, its machine and the code it runs."""
    sha, dirty = git_state()
    return Provenance(
        code_version=metadata.version(DISTRIBUTION),
        git_sha=sha,
        git_dirty=dirty,
        python_version=platform.python_version(),
        torch_version=torch.__version__,
        numpy_version=np.__version__,
        ray_version=ray_version,
        device=device,
        threads=threads,
        host=platform.node(),
        backend=_backend_if_there(device),
        processor=processor_of(device),
    )


def backend_on(device: str) -> str:
    """What computes the layers on a device: compiled loops serve the CPU only.

    TuneJobsError where a form is pinned that is not there.
    """
    if device != "cpu":
        return "torch"
    try:
        return backend()
    except ValueError as error:
        raise TuneJobsError(str(error)) from None


def processor_of(device: str) -> str:
    """What its maker calls the GPU that ``device`` is, else this machine's processor."""
    return processor_name() if device == "cpu" else torch.cuda.get_device_name(device)


def _backend_if_there(device: str) -> str | None:
    """None where a form is pinned that is not there: then the trial fails and says so."""
    try:
        return backend_on(device)
    except TuneJobsError:
        return None


def check_backend() -> None:
    """Refuse a pinned form of the layers that is not there, before anything is trained."""
    backend_on("cpu")


@cache
def git_state() -> tuple[str | None, bool | None]:
    """The commit this code is from and whether it was changed since; Nones if that is not known."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        sent = metadata.distribution(DISTRIBUTION).read_text(GIT_STATE)
        return tuple(json.loads(sent)) if sent else (None, None)
    try:
        sha = _git(root, "rev-parse", "HEAD")
        return sha, bool(_git(root, "status", "--porcelain", "--untracked-files=no", *CODE))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(root: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True, timeout=10
    )
    return result.stdout.strip()
