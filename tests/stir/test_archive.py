import errno
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stir import StirError, archive, unpack


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {
        "a": np.arange(24, dtype=np.int16).reshape(2, 3, 4)[:, ::2],
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "t": np.array([["x", "länger"]]),
    }
    archive.write(tmp_path / "x.npz", arrays)
    read = archive.read(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as plain:
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            assert np.array_equal(read[name], array)
            assert np.array_equal(plain[name], array)


def test_equal_arrays_make_equal_files(tmp_path):
    for name in ("x.npz", "y.npz"):
        archive.write(tmp_path / name, {"a": np.arange(9)})
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_a_file_of_numpys_own_making_is_read(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(9), b=np.array(["q"]))
    assert archive.read(tmp_path / "x.npz", ["a"]).keys() == {"a"}
    assert np.array_equal(archive.read(tmp_path / "x.npz")["a"], np.arange(9))


def test_a_pickled_object_is_never_loaded(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(StirError, match=r"a\.npy holds pickled objects"):
        archive.read(tmp_path / "x.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_changed_bit_is_noticed(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, a=np.random.RandomState(0).randint(0, 256, 3_000_000).astype(np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StirError, match="cannot be read as one"):
        archive.read(path)


@pytest.mark.parametrize("claimed", [99999999999999, 40, 1])
def test_a_header_that_claims_another_size_is_refused_before_memory_is_taken(tmp_path, claimed):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({claimed},), }}".ljust(117)
    start = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as bundle:
        bundle.writestr("a.npy", start + bytes(20))
    with pytest.raises(StirError, match="has another size than its header says"):
        archive.read(tmp_path / "x.npz")


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"old")

    def fail_half_way():
        with archive.written(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        archive.write(tmp_path / "x.npz", {"a": np.arange(9)})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_under_a_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StirError, match=r"must be one that can be; .*file is not"):
        archive.require_writable(tmp_path / "file" / "deeper")
    archive.require_writable(tmp_path / "not" / "yet")


@pytest.fixture(params=[0o022, 0o002, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_who_may_read_a_file_follows_the_umask(umask: int, small_path, tmp_path):
    archive.write(tmp_path / "new" / "x.npz", {"a": np.arange(9)})
    folder = unpack(small_path, tmp_path / "unpacked")
    files = [tmp_path / "new" / "x.npz", *folder.iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o666 & ~umask}
    folders = [tmp_path / "new", folder]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o777 & ~umask}


@pytest.mark.parametrize("call", ["chmod", "fchmod", "lchmod", "chown"])
def test_a_file_system_that_refuses_permissions_is_writable(
    call: str, small_path, tmp_path, monkeypatch
):
    """CIFS and some FUSE mounts answer EPERM; what is not called cannot be refused."""

    def refuse(*args, **options):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, call, refuse, raising=False)
    archive.require_writable(tmp_path)
    archive.write(tmp_path / "x.npz", {"a": np.arange(9)})
    assert unpack(small_path, tmp_path / "unpacked").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unpacked", "x.npz"]


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_takes_no_file_is_refused_with_the_reason(reason: int, tmp_path, monkeypatch):
    def refuse(path, **options):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(StirError, match=f"{tmp_path} is not: {os.strerror(reason)}"):
        archive.require_writable(tmp_path / "deeper")
