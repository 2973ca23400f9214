import errno
import os
import re
import stat
from pathlib import Path

import numpy as np
import pytest

import stir
from stir import archive
from tune_jobs.cli import main
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.opened import open_study
from tune_jobs.storage import Storage
from tune_jobs.storage.datasets import dataset_key, fetch_dataset, put_dataset
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


def upside_down(arrays: dict) -> dict:
    return {"scls": arrays["scls"][:, ::-1]}


def other_classes(arrays: dict) -> dict:
    return {"lbls": arrays["lbls"][:, :, ::-1]}


def outside(arrays: dict) -> dict:
    return {"psts": arrays["psts"] + 64}


def black(arrays: dict) -> dict:
    return {"imgs": arrays["imgs"] * (np.arange(48) != 7)[:, None, None, None, None].astype("u1")}


def untitled(arrays: dict) -> dict:
    return {"metadata": np.char.replace(arrays["metadata"], "Bars", "-")}


WRONG = [
    (upside_down, "scls must be 64 - scale index"),
    (other_classes, "lbls must be the class number"),
    (outside, "Boxes must lie inside the 64 px image"),
    (black, "Every image must show an object; 12 of 576 are black"),
    (untitled, "The title in metadata must have a letter"),
]


@pytest.fixture(params=WRONG, ids=lambda case: case[0].__name__)
def wrong(request: pytest.FixtureRequest, bars: Path, tmp_path: Path) -> tuple[Path, str]:
    """A dataset that `stir check` refuses, and what it says."""
    spoil, said = request.param
    arrays = archive.read(bars)
    archive.write(tmp_path / "wrong.npz", arrays | spoil(arrays))
    return tmp_path / "wrong.npz", f"`stir check` finds nothing wrong with; .* has this: {said}"


def test_what_stir_check_refuses_does_not_enter_a_storage(wrong: tuple, storage: Storage):
    path, said = wrong
    with pytest.raises(TuneJobsError, match=said):
        put_dataset(stir.load(path), storage)
    assert list(storage.list("datasets")) == []


def test_what_stir_check_refuses_is_not_trained_from_a_storage_that_has_it(
    wrong: tuple, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TUNE_JOBS_CACHE", str(tmp_path / "cache"))
    path, said = wrong
    dataset = stir.load(path)
    key = dataset_key("bars", dataset.fingerprint)
    storage.upload(key, path)
    for _ in range(2):
        with pytest.raises(TuneJobsError, match=f"datasets/bars-.*{said.split('; .*')[1]}"):
            fetch_dataset(key, storage)


def test_train_refuses_what_stir_check_refuses_also_if_it_is_stored(
    wrong: tuple, storage: Storage, capsys
):
    path, said = wrong
    dataset = stir.load(path)
    storage.upload(dataset_key(dataset.name, dataset.fingerprint), path)
    asked = ["--model", "standard", "--dataset", str(path), "--scenario", "2", "--kernel-size", "3"]
    assert main(["train", *asked, "--storage", storage.uri]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert list(storage.list("records")) == []


def test_a_storage_on_a_file_system_that_refuses_chmod_is_writable_and_takes_datasets(
    bars: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*args, **options):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chmod", refuse)
    storage.check_writable()
    key = put_dataset(stir.load(bars), storage)
    assert stat.S_IMODE(Path(storage.uri, key).stat().st_mode) & 0o600 == 0o600


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
