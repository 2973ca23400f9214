"""Raw data as people and tools hand it on: everything is used or named, nothing is endless."""

import gzip
import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stir import STIRDataset, StirError
from stir.build import build
from stir.sources import aerial, gather, idx, photos, trafficsign


def objects(dota) -> list[str]:
    folder = dota.write()
    photo_of = photos.index([folder / name for name in aerial.PHOTOS], ".png")
    return [f"{thing.photo.member} {thing.left}" for thing in aerial.read_objects(folder, photo_of)]


def line(x: int) -> str:
    return f"{x} 20 {x + 70} 20 {x + 70} 60 {x} 60 ship 0"


def add_to(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "a") as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)


def encoded(photo: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, form)
    return buffer.getvalue()


MACOS = {
    "__MACOSX/._x": b"\0\5\26\7",
    "__MACOSX/images/._P0001.png": b"\0\5\26\7",
    "images/._P0001.png": b"\0\5\26\7",
    "._P0001.txt": b"\0\5\26\7\xff",
    ".DS_Store": b"\0\0\0\1Bud1",
}


def test_archives_that_macos_made_build(dota, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(gather, "PER_CLASS", 3)
    dota.add("ship", 4)
    plain = build("aerial", out_dir=tmp_path / "plain", raw_dir=dota.write())
    raw = dota.folder
    for name in (*aerial.LABELS, *aerial.PHOTOS):
        add_to(raw / name, MACOS)
    again = build("aerial", out_dir=tmp_path / "again", raw_dir=raw)
    assert STIRDataset(again).fingerprint == STIRDataset(plain).fingerprint
    assert "._" not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        b"imagesource:GoogleEarth\ngsd:0.1\n%s\n%s",
        b"imagesource:GoogleEarth\n%s\n%s",
        b"gsd:0.1\nimagesource:GoogleEarth\n%s\n%s",
        b"\xef\xbb\xbfimagesource:GoogleEarth\r\ngsd:null\r\n%s\r\n%s\r\n",
        b"imagesource: GoogleEarth \n\ngsd:\n%s\n%s\n",
        b"\n imagesource:GoogleEarth\nacquisition dates:\ngsd:0.1\n%s\n%s",
    ],
    ids=["as published", "no gsd", "gsd first", "BOM", "spaces", "other lines"],
)
def test_no_object_is_lost_to_the_header_of_its_file(dota, text: bytes, caplog):
    raw = dota.write()
    with zipfile.ZipFile(raw / aerial.LABELS[0], "w") as bundle:
        bundle.writestr("P0001.txt", text % (line(10).encode(), line(30).encode()))
    photo_of = photos.index([raw / name for name in aerial.PHOTOS], ".png")
    assert [thing.left for thing in aerial.read_objects(raw, photo_of)] == [10, 30]
    assert "left out" not in caplog.text


@pytest.mark.parametrize("text", [b"", b"gsd:0.1\n1 2 3 4 5 6 7 8 ship 0", b"\xef\xbb\xbf\n\n"])
def test_a_file_without_a_source_is_named(dota, text: bytes, caplog):
    raw = dota.write()
    with zipfile.ZipFile(raw / aerial.LABELS[0], "w") as bundle:
        bundle.writestr("P0001.txt", text)
    assert aerial.read_objects(raw, {}) == []
    assert "annotation files name no image source and are left out: P0001.txt" in caplog.text


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "I;16", "1"])
def test_aerial_photos_without_three_channels_are_named(dota, mode: str, caplog):
    dota.lines["P0001"] = dota.lines["P0002"] = [line(10)]
    dota.photos["P0001"] = encoded(Image.new(mode, (640, 600)))
    assert objects(dota) == ["images/P0002.png 10"]
    assert "1 annotated photos have not three colour channels and are left out: " in caplog.text
    assert f"images/P0001.png ({mode})." in caplog.text


def test_a_photo_annotated_twice_or_there_twice_is_taken_once_and_named(dota, caplog):
    dota.lines["P0001"] = [line(10)]
    raw = dota.write()
    add_to(
        raw / aerial.LABELS[1],
        {"again/P0001.txt": b"imagesource:GoogleEarth\n" + line(10).encode()},
    )
    add_to(raw / aerial.PHOTOS[1], {"more/P0001.png": dota.photos["P0001"]})
    photo_of = photos.index([raw / name for name in aerial.PHOTOS], ".png")
    assert len(aerial.read_objects(raw, photo_of)) == 1
    assert (
        "1 annotation files are of a photo that has one, and left out: again/P0001.txt"
        in caplog.text
    )
    assert "photos have the name of one before, and are taken instead of it: more/P0001.png in" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("aa\nbb\ncc\n", "dd\naa\n"),
        ("aa\nbb\ncc\naa\n", "dd"),
        ("\ufeffaa bb cc dd", "dd cc bb aa"),
    ],
    ids=["in both", "twice in one", "all"],
)
def test_a_key_in_two_lists_is_taken_once_and_named(mapillary, train: str, val: str, caplog):
    mapillary.add("stop", 9)
    raw = mapillary.write()
    photo_of = photos.index([raw / name for name in trafficsign.ARCHIVES], ".jpg")
    before = trafficsign.read_signs(raw / trafficsign.ANNOTATIONS, photo_of)
    lists = raw / trafficsign.ANNOTATIONS / "splits"
    (lists / "train.txt").write_text(train, "utf-8")
    (lists / "val.txt").write_text(val, "utf-8")
    assert trafficsign.read_signs(raw / trafficsign.ANNOTATIONS, photo_of) == before
    assert "photos are listed more than once and taken once: " in caplog.text


def test_a_sighting_that_is_given_twice_fills_its_row(mapillary, monkeypatch):
    monkeypatch.setattr(gather, "PER_CLASS", 6)
    mapillary.add("stop", 9)
    raw = mapillary.write()
    photo_of = photos.index([raw / name for name in trafficsign.ARCHIVES], ".jpg")
    found = trafficsign.read_signs(raw / trafficsign.ANNOTATIONS, photo_of)
    once = gather.gather(found, trafficsign.choose, lambda done, total: None)
    twice = gather.gather([*found, *found], trafficsign.choose, lambda done, total: None)
    assert np.array_equal(once["imgs"], twice["imgs"])


@pytest.mark.parametrize(
    ("mode", "converted"),
    [("RGBA", True), ("P", True), ("L", True), ("LA", True), ("I;16", False)],
)
def test_a_photo_to_cut_from_is_converted_or_refused_by_name(mode, converted, tmp_path):
    photo = Image.new("L", (80, 70), 200).convert(mode)
    add_to(tmp_path / "x.zip", {"a.png": encoded(photo)})
    held = photos.Photo(tmp_path / "x.zip", "a.png")
    if converted:
        pixels = np.asarray(photos.decode(held))
        assert pixels.shape == (70, 80, 3)
        assert set(pixels.ravel().tolist()) <= {200, 255}
    else:
        with pytest.raises(photos.UnusableError, match=r"a\.png must have 8 bits a channel"):
            photos.decode(held)
    photos.close_all()


@pytest.mark.parametrize("key", ["../../aa", "sub/aa", "/etc/aa", ".."])
def test_a_listed_name_with_a_folder_is_refused(mapillary, key: str):
    raw = mapillary.write()
    (raw / trafficsign.ANNOTATIONS / "splits" / "val.txt").write_text(key)
    with pytest.raises(StirError, match=r"val\.txt must list photos by name without a folder; got"):
        build("trafficsign", out_dir=raw / "out", raw_dir=raw)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims a size; of its pixels there is nothing."""
    start = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [(b"IHDR", start), (b"IDAT", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        (bomb(60_000, 60_000), "exceeds limit of 178956970 pixels"),
        (bomb(2**31 - 1, 1), "exceeds limit of 178956970 pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot identify image file"),
        (encoded(Image.new("RGB", (9, 9)), "TIFF"), "cannot identify image file"),
    ],
    ids=["square", "strip", "PostScript", "TIFF"],
)
def test_a_photo_that_is_huge_or_of_another_format_is_named(dota, photo, said, caplog):
    dota.lines["P0001"] = [line(10)]
    dota.photos["P0001"] = photo
    assert objects(dota) == []
    assert "1 annotated photos are left out: the photo images/P0001.png cannot be" in caplog.text
    assert said in caplog.text


def test_an_annotation_that_unpacks_to_very_much_is_refused_with_the_bound(dota):
    raw = dota.write()
    with zipfile.ZipFile(
        raw / aerial.LABELS[0], "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as bundle:
        bundle.writestr("P0001.txt", bytes(64_000_001))
    with pytest.raises(StirError, match="may have at most 64,000,000 bytes and has 64,000,001"):
        aerial.read_objects(raw, {})


@pytest.mark.parametrize("kind", ["gzip", "plain", "device"])
def test_an_idx_file_that_holds_very_much_is_refused_with_the_bound(kind: str, tmp_path):
    path = tmp_path / ("train-labels-idx1-ubyte" + (".gz" if kind == "gzip" else ""))
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "gzip":
        block = gzip.compress(bytes(10_000_000), 1)
        path.write_bytes(block * 11)
    else:
        with path.open("wb") as file:
            os.truncate(file.fileno(), 5_000_000_000)
    said = "must be a regular one" if kind == "device" else "at most 100,000,000 bytes"
    with pytest.raises(StirError, match=said):
        idx.read_labels(tmp_path, "train")
