from pathlib import Path

import numpy as np
import pytest

import stir
from stir import archive
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.opened import open_study
from tune_jobs.storage import Storage
from tune_jobs.storage.datasets import fetch_dataset, put_dataset
from tune_jobs.study.file import parse_study


@pytest.fixture
def brighter(bars: Path, tmp_path: Path) -> Path:
    """Another dataset that is called the same."""
    arrays = archive.read(bars)
    arrays["imgs"] = np.maximum(arrays["imgs"], 1)
    archive.write(tmp_path / "brighter.npz", arrays)
    return tmp_path / "brighter.npz"


def test_a_dataset_comes_back_from_storage_mapped_from_one_unpacked_copy(
    bars: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TUNE_JOBS_CACHE", str(tmp_path / "cache"))
    dataset = stir.load(bars)
    key = put_dataset(dataset, storage)
    fetched = fetch_dataset(key, storage)
    assert isinstance(fetched.images, np.memmap)
    assert fetched.fingerprint == dataset.fingerprint
    storage.delete(key)
    assert fetch_dataset(key, storage).fingerprint == dataset.fingerprint  # no second fetch


def test_a_stored_dataset_with_other_contents_than_its_key_says_is_refused(
    bars: Path,
    brighter: Path,
    storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TUNE_JOBS_CACHE", str(tmp_path / "cache"))
    key = put_dataset(stir.load(bars), storage)
    storage.upload(key, brighter)
    with pytest.raises(TuneJobsError, match="must be the one that its key names"):
        fetch_dataset(key, storage)
    storage.upload(key, bars)
    assert fetch_dataset(key, storage).name == "bars"


def test_an_unpacked_folder_cannot_be_trained_on(bars: Path, storage: Storage, tmp_path: Path):
    folder = stir.unpack(bars, tmp_path / "folder")
    with pytest.raises(TuneJobsError, match=r"must be an \.npz file; .*folder is an unpacked"):
        put_dataset(stir.load(folder), storage)


def test_two_datasets_of_one_name_are_not_taken_for_each_other(bars: Path, brighter: Path):
    axes = {"model": "standard", "scenario": 2, "kernel_size": 3, "interpolation": None}
    axes |= {"lr": 0.003, "seed": 1, "dataset": [str(bars), str(brighter)]}
    study = parse_study({"name": "twins", "axes": axes}, where="x.yaml")
    with pytest.raises(TuneJobsError, match="are both called 'bars'"):
        open_study(study, None)
