"""Datasets on their way to a trial: checked and stored, fetched to a node and checked again."""

import os
import re
from pathlib import Path

from filelock import FileLock

import stir
from stir import DatasetSummary, STIRDataset
from tune_jobs.errors import TuneJobsError
from tune_jobs.records.keys import dataset_key
from tune_jobs.storage.storage import Storage

CACHE_VARIABLE = "TUNE_JOBS_CACHE"


def put_dataset(dataset: DatasetSummary, storage: Storage) -> str:
    """Store a dataset's file unless it is there; returns its key.

    Raises TuneJobsError for an unpacked folder, which cannot be stored, and for a dataset that
    ``stir check`` would refuse.
    """
    key = dataset_key(dataset.name, dataset.fingerprint)
    if not storage.exists(key):
        if dataset.path.is_dir():
            raise TuneJobsError(
                f"A dataset to train on must be an .npz file; {dataset.path} is an unpacked folder."
            )
        open_checked(dataset.path, str(dataset.path))
        storage.upload(key, dataset.path)
    return key


def open_checked(path: Path, name: str) -> STIRDataset:
    """Open a dataset and check all of it; raises TuneJobsError, with its name, for any fault.

    A dataset with its scales the wrong way round, say, would train and give wrong numbers.
    """
    dataset = STIRDataset(path)
    if found := dataset.faults():
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise TuneJobsError(
            f"A dataset to train on must be one that `stir check` finds nothing wrong with; {name} "
            f"has this{more}: {found[0]}"
        )
    return dataset


def stored_key(name: str, storage: Storage) -> str | None:
    """The key of the dataset of that name in a storage, None if there is none.

    Raises TuneJobsError where there are several.
    """
    keys = [item.key for item in storage.list("datasets")]
    found = [key for key in keys if re.fullmatch(rf"datasets/{re.escape(name)}-\w{{12}}\.npz", key)]
    if len(found) > 1:
        raise TuneJobsError(
            f"A dataset that is not in the data folder must be in the storage once; {name} is "
            f"there as {', '.join(found)}. Give --data the folder that has the one you mean."
        )
    return found[0] if found else None


def fetch_dataset(key: str, storage: Storage) -> STIRDataset:
    """Open a stored dataset, its images mapped read-only from one unpacked copy on this node.

    The first trial on a node fetches, checks and unpacks it; others wait for that.
    """
    folder = node_cache() / key.removesuffix(".npz")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            archive = folder.parent / f"{folder.name}.npz"
            storage.download(key, archive)
            _require_fingerprint(key, open_checked(archive, key))
            stir.unpack(archive, folder)
            archive.unlink()
    return STIRDataset(folder)


def _require_fingerprint(key: str, dataset: STIRDataset) -> None:
    found = dataset.fingerprint[:12]
    if not key.removesuffix(".npz").endswith(f"-{found}"):
        raise TuneJobsError(
            f"A stored dataset must be the one that its key names; the contents of {key} have the "
            f"fingerprint {found}. Remove that object; the next run puts the right one there."
        )


def node_cache() -> Path:
    """Where this node keeps unpacked datasets: $TUNE_JOBS_CACHE, else the user's cache folder."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        raise TuneJobsError(
            "Unpacked datasets must have a folder on this machine, and its user has no home; "
            f"set {CACHE_VARIABLE} to one."
        ) from None
    return Path(root) / "tune-jobs"
