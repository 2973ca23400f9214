"""Spoilt files are refused in a sentence or read: nothing else ever comes out."""

import gzip
import json
import random
import struct
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest

from lab.fuzz import spoil
from stir import STIRDataset, StirError, archive, schema
from stir.sources import aerial, idx, mnist, photos, trafficsign


def corruptions(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(count):
        yield spoil.spoilt(data, rng)


def outcome(work) -> str:
    """``fine`` or ``refused``; whatever else is raised is what these tests look for."""
    try:
        work()
    except StirError as error:
        return "refused" if "\n" not in str(error) else "refused at length"
    return "fine"


def tiny_arrays() -> schema.Arrays:
    arrays = schema.blank(1, 1, 1)
    arrays["imgs"][..., 30:34, 30:34] = 255
    arrays["lbldata"] = np.array(["only"])
    arrays["metadata"] = np.array([[key, "text"] for key in schema.METADATA])
    return arrays


@pytest.mark.parametrize("packed", [True, False], ids=["deflated", "stored"])
def test_spoilt_datasets_are_checked_and_opened_without_a_traceback(tmp_path, packed):
    path = tmp_path / "x.npz"
    (np.savez_compressed if packed else np.savez)(path, **tiny_arrays())
    outcomes = []
    for spoilt in corruptions(path.read_bytes(), 120, seed=packed):
        path.write_bytes(spoilt)
        found = schema.check(path)
        assert all(isinstance(sentence, str) and "\n" not in sentence for sentence in found)
        assert outcome(lambda: STIRDataset(path)) in ("refused", "fine")
        outcomes.append(bool(found))
    assert sum(outcomes) > 60


def test_headers_spoilt_under_a_right_checksum_are_refused_without_a_traceback(tmp_path):
    """The archive is whole; what is in it is not an array."""
    path, member = tmp_path / "x.npz", tmp_path / "lbls.npy"
    arrays = tiny_arrays()
    np.save(member, arrays.pop("lbls"))
    refused = 0
    for spoilt in corruptions(member.read_bytes()[:140], 120, seed=2):
        archive.write(path, arrays)
        with zipfile.ZipFile(path, "a") as bundle:
            bundle.writestr("lbls.npy", spoilt + bytes(1152))
        refused += bool(schema.check(path))
    assert refused > 100


@pytest.mark.parametrize("gzipped", [True, False], ids=["gzip", "plain"])
def test_spoilt_idx_files_are_refused_without_a_traceback(tmp_path, gzipped):
    labels = struct.pack(">2I", idx.LABELS_MAGIC, 1010) + bytes(range(10)) * 101
    pixels = np.random.RandomState(0).bytes(1010 * 784)
    images = struct.pack(">4I", idx.IMAGES_MAGIC, 1010, 28, 28) + pixels
    for stem in ("train", "t10k"):
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(labels)
    assert outcome(lambda: mnist.choose(tmp_path)) == "fine"
    path = tmp_path / f"train-labels-idx1-ubyte{'.gz' if gzipped else ''}"
    refused = 0
    for spoilt in corruptions(gzip.compress(labels) if gzipped else labels, 60, seed=3):
        path.write_bytes(spoilt)
        refused += outcome(lambda: mnist.choose(tmp_path)) == "refused"
    assert refused > 20


def test_spoilt_mapillary_annotations_are_refused_or_left_out(tmp_path):
    box = {"xmin": 1.5, "ymin": 2.5, "xmax": 71.0, "ymax": 72.0}
    entry = {"label": "a", "bbox": box, "properties": {"occluded": False}}
    annotation = json.dumps({"width": 100, "objects": [entry, entry]}).encode()
    (tmp_path / "splits").mkdir()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "splits" / "train.txt").write_text("aa\n")
    (tmp_path / "splits" / "val.txt").write_text("")
    photo_of = {"aa": photos.Photo(tmp_path / "x.zip", "images/aa.jpg")}
    read = 0
    for spoilt in corruptions(annotation, 100, seed=4):
        (tmp_path / "annotations" / "aa.json").write_bytes(spoilt)
        read += outcome(lambda: trafficsign.read_signs(tmp_path, photo_of)) == "fine"
    assert 0 < read < 100


def test_spoilt_dota_annotations_are_refused_or_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "measure", lambda photo: (4000, 4000, "RGB"))
    line = "10.0 10.0 90.0 10.0 90.0 60.0 10.0 60.0 ship 0"
    text = "\n".join(["imagesource:GoogleEarth", "gsd:0.1", line, line]).encode()
    photo_of = {"P1": photos.Photo(tmp_path / "part1.zip", "images/P1.png")}
    read = 0
    for number, spoilt in enumerate(corruptions(text, 100, seed=5)):
        raw = tmp_path / str(number)
        for split in ("train", "val"):
            (raw / split).mkdir(parents=True)
            with zipfile.ZipFile(raw / split / f"DOTA-v1.5_{split}.zip", "w") as bundle:
                bundle.writestr("P1.txt", spoilt)
        read += outcome(lambda raw=raw: aerial.read_objects(raw, photo_of)) == "fine"
    assert 0 < read < 100
