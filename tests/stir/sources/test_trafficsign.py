import io
import json

import numpy as np
import pytest
from PIL import Image

from stir import STIRDataset, StirError, schema
from stir.build import build
from stir.sources import gather, photos, trafficsign


@pytest.fixture
def one_process(monkeypatch):
    monkeypatch.setattr(gather, "worker_count", lambda chosen, num_classes: 1)


@pytest.fixture
def small_classes(monkeypatch):
    """Six objects make a class, so that cutting them takes no time."""
    monkeypatch.setattr(gather, "PER_CLASS", 6)


def read(mapillary):
    folder = mapillary.write()
    photo_of = photos.index([folder / name for name in trafficsign.ARCHIVES], ".jpg")
    return trafficsign.read_signs(folder / trafficsign.ANNOTATIONS, photo_of)


def boxes(mapillary, label: str) -> list[tuple]:
    """Key and box of a class's objects, largest first, straight from what was annotated."""
    found = []
    for key in mapillary.keys:
        for entry in mapillary.objects[key]:
            if entry["label"] == label:
                box = entry["bbox"]
                left, top = int(np.floor(box["xmin"])), int(np.floor(box["ymin"]))
                right, bottom = int(np.ceil(box["xmax"])), int(np.ceil(box["ymax"]))
                found.append((key, left, top, right - left, bottom - top))
    return sorted(found, key=lambda item: -min(item[3:]))


def test_a_build_has_exact_boxes_splits_and_class_order(mapillary, tmp_path):
    mapillary.add("regulatory--stop", 80)
    mapillary.add("other-sign", 80)
    mapillary.add("warning--few", 74)
    mapillary.add("information--one-too-small", 75, smallest=60)
    mapillary.add("complementary--left", 75)
    raw = mapillary.write()
    path = build("trafficsign", out_dir=tmp_path / "out", raw_dir=raw)
    dataset = STIRDataset(path)
    assert schema.check(path) == []
    assert dataset.labeldata.tolist() == ["complementary--left", "regulatory--stop"]
    wholes = {
        k: Image.open(io.BytesIO(data)).convert("RGB") for k, data in mapillary.photos.items()
    }
    for label, rank, side in [(0, 0, 64), (0, 1, 17), (0, 74, 33), (1, 2, 50), (1, 73, 20)]:
        key, left, top, width, height = boxes(mapillary, str(dataset.labeldata[label]))[rank]
        size = round(480 * side / width), round(400 * side / height)
        whole = np.asarray(wholes[key].resize(size, Image.Resampling.LANCZOS)).astype(int)
        at = (rank % 3, 64 - side, label, rank // 3)
        x, y = (round(left * side / width), round(top * side / height)) - dataset.positions[at]
        difference = np.abs(whole[y : y + 64, x : x + 64] - dataset.images[at])
        assert difference.max() <= 1, (label, rank, side)


def test_special_signs_and_oblong_ones_are_no_candidates(mapillary):
    mapillary.add("a", 2)
    mapillary.add("b", 2, occluded=True)
    entry = mapillary.objects["aa"][0]["bbox"]
    for width, label in [(entry["xmax"] + 3, "wider-by-4"), (entry["xmax"] + 9, "wider-by-9")]:
        box = entry | {"xmax": width}
        mapillary.objects["aa"].append({"label": label, "bbox": box, "properties": {}})
    assert [sign.label for sign in read(mapillary)] == ["a", "wider-by-4", "a"]


def test_a_box_grows_to_whole_pixels(mapillary):
    box = {"xmin": 10.9, "ymin": 20.0, "xmax": 75.1, "ymax": 86.0}
    mapillary.objects["bb"] = [{"label": "a", "bbox": box, "properties": {}}]
    (sign,) = read(mapillary)
    assert (sign.left, sign.top, sign.right, sign.bottom) == (10, 20, 76, 86)


def test_objects_of_equal_size_keep_their_order_of_appearance(mapillary, small_classes):
    for number in range(7):
        box = {"xmin": number, "ymin": 0, "xmax": number + 70, "ymax": 70}
        key = ["dd", "cc", "aa", "bb", "aa", "bb", "aa"][number]
        mapillary.objects[key].append({"label": "a", "bbox": box, "properties": {}})
    chosen = trafficsign.choose(read(mapillary))["a"]
    assert [sign.left for sign in chosen] == [2, 4, 6, 3, 5, 1]


def test_an_unusable_object_is_named_and_the_next_largest_moves_up(
    mapillary, tmp_path, caplog, small_classes, one_process
):
    mapillary.add("a", 8)
    cut_short = mapillary.photos["bb"][:-3000]  # holds the 2nd and the 6th largest
    mapillary.photos["bb"] = cut_short
    path = build("trafficsign", out_dir=tmp_path / "out", raw_dir=mapillary.write())
    assert "2 objects could not be used" in caplog.text
    assert "trafficsign as published has 16 classes; these raw files give 1" in caplog.text
    assert "a 0 of images/bb.jpg, the photo images/bb.jpg cannot be read" in caplog.text
    dataset = STIRDataset(path)
    assert dataset.images.shape[:4] == (3, 48, 1, 2)
    usable = [item for item in boxes(mapillary, "a") if item[0] != "bb"]
    assert len(usable) == 6
    for rank, (key, left, top, width, height) in enumerate(usable):
        at = (rank % 3, 0, 0, rank // 3)
        with Image.open(io.BytesIO(mapillary.photos[key])) as photo:
            size = round(480 * 64 / width), round(400 * 64 / height)
            whole = np.asarray(photo.resize(size, Image.Resampling.LANCZOS)).astype(int)
        x, y = (round(left * 64 / width), round(top * 64 / height)) - dataset.positions[at]
        assert np.abs(whole[y : y + 64, x : x + 64] - dataset.images[at]).max() <= 1, rank


def test_each_photo_is_decoded_once_for_all_its_objects(
    mapillary, tmp_path, monkeypatch, small_classes, one_process
):
    from stir.sources import crops

    decoded = []
    decode = crops.decode
    monkeypatch.setattr(crops, "decode", lambda photo: decoded.append(photo) or decode(photo))
    mapillary.add("a", 6)
    mapillary.add("b", 6)
    build("trafficsign", out_dir=tmp_path / "out", raw_dir=mapillary.write())
    assert sorted(photo.member for photo in decoded) == [
        f"images/{key}.jpg" for key in mapillary.keys
    ]


def test_one_process_and_several_build_the_same(mapillary, tmp_path, small_classes, monkeypatch):
    mapillary.add("a", 6)
    raw = mapillary.write()
    many = STIRDataset(build("trafficsign", out_dir=tmp_path / "many", raw_dir=raw))
    monkeypatch.setattr(gather, "worker_count", lambda chosen, num_classes: 1)
    one = STIRDataset(build("trafficsign", out_dir=tmp_path / "one", raw_dir=raw))
    assert one.fingerprint == many.fingerprint


def test_a_malformed_object_is_left_out_and_counted(mapillary, caplog):
    mapillary.add("a", 4)
    del mapillary.objects["aa"][0]["bbox"]["xmin"]
    mapillary.objects["bb"][0].pop("label")
    mapillary.objects["cc"][0]["bbox"]["ymax"] = "12"
    assert len(read(mapillary)) == 1
    assert "3 annotated objects are not in the form of the dataset" in caplog.text
    assert "0 of aa.json (no 'xmin')" in caplog.text


def test_objects_in_photos_that_no_archive_has_are_left_out_and_counted(mapillary, caplog):
    mapillary.add("a", 8)
    raw = mapillary.write()
    photo_of = photos.index([raw / name for name in trafficsign.ARCHIVES[:3]], ".jpg")
    signs = trafficsign.read_signs(raw / trafficsign.ANNOTATIONS, photo_of)
    assert len(signs) == 6
    assert "2 objects are in photos that no archive has" in caplog.text


def spoil(raw, how: str) -> None:
    notes = raw / "mtsd_v2_fully_annotated"
    if how == "no archive":
        (raw / "train.1.zip").unlink()
    elif how == "cut archive":
        path = raw / "val.zip"
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "no list":
        (notes / "splits" / "val.txt").unlink()
    elif how == "no annotation":
        (notes / "annotations" / "cc.json").unlink()
    elif how == "cut annotation":
        path = notes / "annotations" / "cc.json"
        path.write_text(path.read_text()[:-5])
    elif how == "no objects":
        (notes / "annotations" / "cc.json").write_text(json.dumps({"width": 5}))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no archive", "must have the archive train.1.zip"),
        ("cut archive", "val.zip must be a whole zip archive"),
        ("no list", "must have the list of photos val.txt"),
        ("no annotation", "must have an annotation; .*cc.json is missing"),
        ("cut annotation", "cc.json is not: Expecting"),
        ("no objects", "cc.json is not: no 'objects'"),
        ("too few", "at least 75 usable objects .* a has the most, 74"),
    ],
)
def test_spoilt_raw_data_is_refused_in_a_sentence_and_nothing_is_written(
    mapillary, tmp_path, how, words
):
    mapillary.add("a", 74)
    raw = mapillary.write()
    spoil(raw, how)
    with pytest.raises(StirError, match=words):
        build("trafficsign", out_dir=tmp_path / "out", raw_dir=raw)
    assert not (tmp_path / "out").exists()


def test_workers_are_as_many_as_memory_allows(monkeypatch):
    monkeypatch.setattr(gather, "available_cores", lambda: 64)
    monkeypatch.setattr(photos, "measure", lambda photo: (4000, 3000, "RGB"))
    assert gather.worker_count([photos.Photo(None, "x")], 16) == 4
    monkeypatch.setattr(photos, "measure", lambda photo: (13000, 13000, "RGB"))
    assert gather.worker_count([photos.Photo(None, "x")], 16) == 1
