import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from stir import STIRDataset, StirError, schema
from stir.build import build
from stir.sources import aerial, gather, photos


def read(dota):
    folder = dota.write()
    photo_of = photos.index([folder / name for name in aerial.PHOTOS], ".png")
    return aerial.read_objects(folder, photo_of)


def boxes(dota, label: str) -> list[tuple]:
    """Key, left, top, right and bottom of a class's objects, the longest first."""
    found = []
    for key in dota.keys:
        for line in dota.lines[key]:
            *numbers, name, _ = line.split()
            if name == label:
                x, y = ([float(n) for n in numbers[axis::2]] for axis in (0, 1))
                found.append((key, int(min(x)), int(min(y)), int(max(x)), int(max(y))))
    return sorted(found, key=lambda item: -max(item[3] - item[1], item[4] - item[2]))


def test_a_build_has_exact_boxes_splits_and_class_order(dota, tmp_path, monkeypatch):
    monkeypatch.setattr(gather, "PER_CLASS", 12)
    dota.add("ship", 13)
    dota.add("harbor", 12)
    dota.add("plane", 11)
    path = build("aerial", out_dir=tmp_path / "out", raw_dir=dota.write())
    dataset = STIRDataset(path)
    assert schema.check(path) == []
    assert dataset.labeldata.tolist() == ["harbor", "ship"]
    wholes = {key: Image.open(io.BytesIO(data)) for key, data in dota.photos.items()}
    for label, rank, side in [(0, 0, 64), (0, 1, 17), (0, 11, 33), (1, 2, 50), (1, 10, 20)]:
        key, left, top, right, bottom = boxes(dota, str(dataset.labeldata[label]))[rank]
        factor = side / max(right - left, bottom - top)
        size = round(640 * factor), round(600 * factor)
        whole = np.asarray(wholes[key].resize(size, Image.Resampling.LANCZOS)).astype(int)
        at = (rank % 3, 64 - side, label, rank // 3)
        x, y = (round(left * factor), round(top * factor)) - dataset.positions[at]
        difference = np.abs(whole[y : y + 64, x : x + 64] - dataset.images[at])
        assert difference.max() <= 1, (label, rank, side)


def line(x: float, y: float, width: float, height: float, *, tilt: float = 0) -> str:
    corners = (x, y, x + width, y + tilt, x + width, y + height, x, y + height)
    return " ".join(map(str, [*corners, "a", 0]))


def test_labels_with_and_without_a_point_give_the_same_box(dota):
    dota.lines["P0001"] = [line(10, 20, 70, 40), line(10.0, 20.0, 70.0, 40.0)]
    first, second = read(dota)
    assert (first.left, first.top, first.right, first.bottom) == (10, 20, 80, 60)
    assert (second.left, second.top, second.right, second.bottom) == (10, 20, 80, 60)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (line(10, 20, 70, 40), True),
        (line(10, 20, 100, 40, tilt=5), True),  # 2.9 degrees
        (line(10, 20, 100, 40, tilt=6), False),  # 3.4 degrees
        (line(80, 20, -70, 40), False),  # the first edge runs to the left
        (line(570, 20, 70, 40), True),
        (line(571, 20, 70, 40), False),
        (line(10, 20, 120, 40), True),  # 600 px are 5 times as much
        (line(10, 20, 121, 40), False),  # the published query's 640 // 121 > 4 holds, 600's not
    ],
)
def test_only_upright_objects_inside_a_photo_with_room_around_are_candidates(dota, words, kept):
    dota.lines["P0002"] = [words]
    assert len(read(dota)) == kept


def test_photos_of_other_sources_and_grey_ones_are_left_out(dota):
    for key in dota.keys:
        dota.lines[key] = [line(10, 20, 70, 40)]
    dota.sources["P0001"] = "GF"
    grey = io.BytesIO()
    Image.new("L", (640, 600)).save(grey, "PNG")
    dota.photos["P0002"] = grey.getvalue()
    assert [thing.photo.member for thing in read(dota)] == ["images/P0003.png", "images/P0004.png"]


def test_malformed_lines_and_missing_or_unreadable_photos_are_left_out_and_counted(dota, caplog):
    for key in dota.keys:
        dota.lines[key] = [line(10, 20, 70, 40)]
    dota.lines["P0001"] += ["1 2 3", "x y 1 2 3 4 5 6 a 0", "inf 1 2 3 4 5 6 7 a 0"]
    dota.photos["P0002"] = b"no photo"
    raw = dota.write()
    with zipfile.ZipFile(raw / "val" / "part1.zip", "w"):
        pass
    photo_of = photos.index([raw / name for name in aerial.PHOTOS], ".png")
    assert len(aerial.read_objects(raw, photo_of)) == 2
    assert "3 annotated objects are not in the form of the dataset" in caplog.text
    assert "0 of P0001.txt (fewer" not in caplog.text
    assert "1 of P0001.txt (fewer than eight numbers and a label)" in caplog.text
    assert "1 annotated photos are in no archive and left out: P0004." in caplog.text
    assert "1 annotated photos are left out: the photo images/P0002.png cannot" in caplog.text


def test_an_object_that_starts_left_of_its_photo_is_replaced(dota, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(gather, "PER_CLASS", 3)
    dota.add("a", 4)
    dota.lines["P0001"].insert(0, line(-5, 20, 110, 40))
    dataset = STIRDataset(build("aerial", out_dir=tmp_path / "out", raw_dir=dota.write()))
    assert dataset.images.shape[:4] == (3, 48, 1, 1)
    assert "1 objects could not be used" in caplog.text
    assert "its box (-5, 20, 105, 60) leaves the photo of 640 x 600 px" in caplog.text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("val/DOTA-v1.5_val.zip", "must have the archive DOTA-v1.5_val.zip"),
        ("train/part3.zip", "must have the archive part3.zip"),
    ],
)
def test_a_missing_archive_is_named(dota, tmp_path, name, words):
    raw = dota.write()
    (raw / name).unlink()
    with pytest.raises(StirError, match=words):
        build("aerial", out_dir=tmp_path / "out", raw_dir=raw)


def test_a_spoilt_annotation_in_a_whole_archive_is_named(dota, tmp_path):
    dota.add("a", 4)
    raw = dota.write()
    path = raw / "train" / "DOTA-v1.5_train.zip"
    path.write_bytes(path.read_bytes().replace(b"GoogleEarth", b"GoogleMoon!", 1))
    with pytest.raises(
        StirError, match=r"P0001\.txt in .*DOTA-v1\.5_train\.zip cannot be read: Bad"
    ):
        build("aerial", out_dir=tmp_path / "out", raw_dir=raw)


def test_too_few_objects_are_counted_in_the_refusal(dota, tmp_path):
    dota.add("a", 80, smallest=50)
    with pytest.raises(StirError, match="at least 75 usable objects of 64 px"):
        build("aerial", out_dir=tmp_path / "out", raw_dir=dota.write())
    assert not (tmp_path / "out").exists()
