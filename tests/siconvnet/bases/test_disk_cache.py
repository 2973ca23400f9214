import os
import stat
from pathlib import Path

import pytest
import torch
from torch import Tensor

from siconvnet.bases.disk_cache import remembered

ANSWER = torch.tensor([[1.5, -2.0, 0.1]])


class Counted:
    """Gives ANSWER and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return ANSWER.double()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "siconvnet"


def ask(compute: Counted, inputs: object = 1) -> Tensor:
    return remembered("numbers", inputs, (1, 3), compute)


def test_the_second_time_nothing_is_computed_and_the_answer_is_equal(folder: Path):
    compute = Counted()
    assert torch.equal(ask(compute), ANSWER)
    assert torch.equal(ask(compute), ANSWER)
    assert compute.calls == 1
    assert len(list(folder.iterdir())) == 1


def test_other_inputs_are_another_answer(folder: Path):
    compute = Counted()
    ask(compute, inputs=("version", 1))
    ask(compute, inputs=("version", 2))
    assert compute.calls == 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-4] + b"oops"])
def test_a_damaged_file_is_computed_again_and_mended(folder: Path, damage):
    compute = Counted()
    ask(compute)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert torch.equal(ask(compute), ANSWER)
    assert compute.calls == 2
    assert file.read_bytes() == whole


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o077, 0o600)])
def test_who_may_read_a_file_follows_the_umask(folder: Path, umask: int, mode: int):
    before = os.umask(umask)
    try:
        ask(Counted())
    finally:
        os.umask(before)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_folder_that_cannot_be_made_costs_only_time(tmp_path: Path, monkeypatch):
    occupied = tmp_path / "a-file"
    occupied.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    compute = Counted()
    assert torch.equal(ask(compute), ANSWER)
    assert torch.equal(ask(compute), ANSWER)
    assert compute.calls == 2


def test_a_user_without_a_home_can_compute(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert torch.equal(ask(Counted()), ANSWER)


def test_a_write_that_fails_half_way_leaves_nothing(folder: Path, monkeypatch):
    def full_disk(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    assert torch.equal(ask(Counted()), ANSWER)
    assert list(folder.iterdir()) == []
