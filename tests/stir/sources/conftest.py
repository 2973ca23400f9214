"""Small archives in the true layout of Mapillary's and DOTA's, with photos of noise."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def smooth_noise(width: int, height: int, seed: int) -> Image.Image:
    """A photo with detail of all sizes, so that a crop a pixel off is seen to be."""
    rng = np.random.RandomState(seed)
    coarse = Image.fromarray(rng.randint(0, 256, (height // 8, width // 8, 3), np.uint8))
    fine = rng.randint(-40, 41, (height, width, 3))
    whole = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int) + fine
    return Image.fromarray(np.clip(whole, 0, 255).astype(np.uint8))


def encoded(photo: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, form, **({"quality": 90} if form == "JPEG" else {}))
    return buffer.getvalue()


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("images/", b"")
        for name, data in files.items():
            bundle.writestr(name, data)


def sign(label: str, x: float, y: float, width: float, height: float, **properties) -> dict:
    """An annotated object as Mapillary writes it."""
    box = {"xmin": x, "ymin": y, "xmax": x + width, "ymax": y + height}
    known = dict.fromkeys(("barrier", "occluded", "out-of-frame", "exterior", "ambiguous"), False)
    return {"key": "k", "label": label, "bbox": box, "properties": known | properties}


class Mapillary:
    """Four photos of 480 x 400 px, one in each archive; objects are added, then it is written."""

    keys = ("aa", "bb", "cc", "dd")
    archives = ("train.0.zip", "train.1.zip", "train.2.zip", "val.zip")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = {key: [] for key in self.keys}
        self.photos = {
            key: encoded(smooth_noise(480, 400, seed), "JPEG") for seed, key in enumerate(self.keys)
        }

    def add(self, label: str, count: int, *, smallest: int = 64, **properties) -> None:
        """Objects of 64 px and more, the first the largest, dealt out to the photos in turn."""
        for number in range(count):
            side = smallest + (count - 1 - number) / 4
            x, y = 7.3 + 2.9 * number, 3.6 + 3.1 * number
            key = self.keys[number % 4]
            self.objects[key].append(sign(label, x, y, side, side + 1.5, **properties))

    def write(self) -> Path:
        notes = self.folder / "mtsd_v2_fully_annotated"
        (notes / "splits").mkdir(parents=True)
        (notes / "annotations").mkdir()
        (notes / "splits" / "train.txt").write_text("aa\nbb\ncc\n")
        (notes / "splits" / "val.txt").write_text("dd\n")
        for key, archive in zip(self.keys, self.archives, strict=True):
            annotation = {
                "width": 480,
                "height": 400,
                "ispano": False,
                "objects": self.objects[key],
            }
            (notes / "annotations" / f"{key}.json").write_text(json.dumps(annotation))
            write_zip(self.folder / archive, {f"images/{key}.jpg": self.photos[key]})
        return self.folder


class Dota:
    """Four photos of 640 x 600 px, one in each archive, two of them annotated without points."""

    keys = ("P0001", "P0002", "P0003", "P0004")
    archives = ("train/part1.zip", "train/part2.zip", "train/part3.zip", "val/part1.zip")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines = {key: [] for key in self.keys}
        self.sources = dict.fromkeys(self.keys, "GoogleEarth")
        self.photos = {
            key: encoded(smooth_noise(640, 600, seed), "PNG") for seed, key in enumerate(self.keys)
        }

    def add(self, label: str, count: int, *, smallest: int = 64, tilt: int = 0) -> None:
        for number in range(count):
            long = smallest + (count - 1 - number) // 3
            width, height = (long, 40) if number % 2 else (30, long)
            x, y, key = 5 + 6 * number, 4 + 5 * number, self.keys[number % 4]
            corners = (x, y, x + width, y + tilt, x + width, y + height, x, y + height - tilt)
            point = "" if number % 2 else ".0"
            words = [f"{corner}{point}" for corner in corners]
            self.lines[key].append(" ".join([*words, label, "0"]))

    def write(self) -> Path:
        for key, archive in zip(self.keys, self.archives, strict=True):
            write_zip(self.folder / archive, {f"images/{key}.png": self.photos[key]})
        for split, keys in {"train": self.keys[:3], "val": self.keys[3:]}.items():
            texts = {
                f"{key}.txt": "\n".join(
                    [f"imagesource:{self.sources[key]}", "gsd:0.146", *self.lines[key]]
                ).encode()
                for key in keys
            }
            write_zip(self.folder / split / f"DOTA-v1.5_{split}.zip", texts)
        return self.folder


@pytest.fixture
def mapillary(tmp_path) -> Mapillary:
    return Mapillary(tmp_path / "raw")


@pytest.fixture
def dota(tmp_path) -> Dota:
    return Dota(tmp_path / "raw")
