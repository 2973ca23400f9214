"""Small files that claim to hold very much are refused before memory is taken, with the bound."""

import os
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from stir import STIRDataset, StirError, schema
from stir.cli import main

SHAPES = {
    "imgs": "(3, 48, 2, 2, 64, 64)",
    "lbls": "(3, 48, 2, 2)",
    "scls": "(3, 48, 2, 2)",
    "psts": "(3, 48, 2, 2, 2)",
    "metadata": "(6, 2)",
    "lbldata": "(2,)",
}
DTYPES = {"imgs": "|u1", "metadata": "<U20", "lbldata": "<U20"}


def header(shape: str, dtype: str) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = text.ljust(-(-(len(text) + 11) // 64) * 64 - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode()


def size(shape: str, dtype: str) -> int:
    return int(np.prod(eval(shape), dtype=object)) * np.dtype(dtype).itemsize


def claim(path: Path, shapes: dict[str, str], dtypes: dict[str, str]) -> Path:
    """An ``.npz`` of zeros, a megabyte at most of what header and table claim of each array."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, shape in shapes.items():
            dtype = dtypes.get(name, "<i8")
            start, claimed = header(shape, dtype), size(shape, dtype)
            bundle.writestr(f"{name}.npy", start + bytes(min(claimed, 1 << 20)))
            bundle.filelist[-1].file_size = len(start) + claimed
    return path


@contextmanager
def memory_below(limit_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit_bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shapes", "dtypes", "said"),
    [
        (
            {
                "imgs": "(3, 48, 9999, 9, 64, 64)",
                "lbls": "(3, 48, 9999, 9)",
                "scls": "(3, 48, 9999, 9)",
                "psts": "(3, 48, 9999, 9, 2)",
                "lbldata": "(9999,)",
            },
            {},
            r"its arrays may take 1,500,000,000 bytes of memory and would take 53,",
        ),
        (
            {},
            {"lbldata": "<U499999999"},
            "may take 1,500,000,000 bytes of memory and would take 4,",
        ),
        (
            {},
            {"metadata": "<U99999999"},
            "may take 1,500,000,000 bytes of memory and would take 4,",
        ),
        ({"lbls": "(3, 48, 2, 99999999)"}, {}, r"lbls must have the shape \(3, 48, 2, 2\); got"),
        ({"metadata": "(99999999999, 2)"}, {}, r"metadata must have the shape \(6, 2\); got"),
        (
            {"imgs": f"({'1, ' * 2000})"},
            {},
            r"imgs must have the shape .*; got \(1, 1, .{70,80}\.$",
        ),
        ({"scls": f"({'1, ' * 5000})"}, {}, "starts with no header|header"),
        ({"imgs": "(3, 48, 2, 0, 64, 64)"}, {}, "imgs must have the shape"),
    ],
    ids=["images", "class names", "metadata", "labels", "rows", "axes", "long header", "none"],
)
def test_what_an_array_would_take_is_refused_before_it_is_unpacked(
    shapes: dict, dtypes: dict, said: str, tmp_path: Path
):
    path = claim(tmp_path / "x.npz", SHAPES | shapes, DTYPES | dtypes)
    with memory_below(20_000_000):
        assert len(schema.check(path)) == 1
        with pytest.raises(StirError, match=said):
            STIRDataset(path)


def test_arrays_that_no_dataset_has_are_not_unpacked(small_path: Path, tmp_path: Path):
    path = tmp_path / "x.npz"
    path.write_bytes(small_path.read_bytes())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        bundle.writestr("extra.npy", header("(199999871,)", "|u1") + bytes(199_999_871))
    with memory_below(100_000_000):
        assert schema.check(path) == []


def test_two_arrays_of_one_name_are_refused(small_path: Path, tmp_path: Path):
    path = tmp_path / "x.npz"
    path.write_bytes(small_path.read_bytes())
    with zipfile.ZipFile(path, "a") as bundle:
        bundle.writestr("other/imgs.npy", b"")
    assert "other/imgs.npy and imgs.npy are two arrays of one name." in schema.check(path)[0]


@pytest.mark.parametrize("made", ["/dev/zero", "/dev/urandom", "pipe", "folder", "socket"])
def test_what_is_no_regular_file_is_refused_at_once(made: str, tmp_path: Path, capsys):
    path = Path(made) if made.startswith("/") else tmp_path / f"{made}.npz"
    if made == "pipe":
        os.mkfifo(path)
    elif made == "folder":
        path.mkdir()
    elif made == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    assert main(["check", str(path)]) == 2
    assert "it is not a regular file." in capsys.readouterr().err
    if made == "pipe":
        assert main(["list", "--data", str(tmp_path), "--json"]) == 0
        assert "it is not a regular file." in capsys.readouterr().out
