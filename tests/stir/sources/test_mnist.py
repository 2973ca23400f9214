import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from stir import StirError, schema
from stir.build import build
from stir.dataset import STIRDataset
from stir.sources import idx, mnist

GOLDEN = Path(__file__).parents[2] / "golden" / "stir-mnist.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def write_idx(folder: Path, stem: str, images: np.ndarray, labels: np.ndarray) -> None:
    """A pair of gzipped idx files as MNIST has them."""
    header = struct.pack(">4I", idx.IMAGES_MAGIC, *images.shape)
    path = folder / f"{stem}-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(header + images.astype(np.uint8).tobytes()))
    header = struct.pack(">2I", idx.LABELS_MAGIC, len(labels))
    path = folder / f"{stem}-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(header + labels.astype(np.uint8).tobytes()))


@pytest.fixture
def raw(tmp_path) -> Path:
    """A folder like MNIST's, with 101 and 50 images of noise of each digit."""
    rng = np.random.RandomState(0)
    for stem, count in {"train": 101, "t10k": 50}.items():
        labels = np.tile(np.arange(10), count)
        write_idx(tmp_path, stem, rng.randint(0, 256, (len(labels), 28, 28)), labels)
    return tmp_path


def test_every_digit_lies_where_the_published_procedure_put_it(golden):
    assert np.array_equal(mnist.draw_corners(), golden["positions"])


def test_real_digits_come_out_as_scikit_image_made_them(golden):
    for number, (split, row) in enumerate(golden["sample_index"]):
        side = schema.SCALE_AXIS[row]
        corners = golden["positions"][split, row, :, :3].reshape(-1, 2).astype(int)
        images = mnist.render(golden["digits"][number].reshape(-1, 28, 28), side, corners)
        wanted = golden["sample"][number].reshape(-1, 64, 64).astype(int)
        assert np.abs(images - wanted).mean() < 0.001, f"side {side}"


@pytest.mark.parametrize("side", [17, 23, 28, 51])
def test_resizing_is_scikit_images_up_to_the_border(side):
    """Real digits have black borders; noise has not."""
    picture = np.random.RandomState(0).uniform(0, 255, (28, 28))
    sigma = max(0, (28 / side - 1) / 2)
    smoothed = ndimage.gaussian_filter(picture, sigma, mode="mirror") if sigma else picture
    wanted = ndimage.zoom(smoothed, side / 28, order=3, mode="mirror", grid_mode=True)
    matrix = mnist.resizing(side)
    assert np.allclose(matrix @ picture @ matrix.T, wanted, atol=1e-9)


@pytest.mark.skipif("STIR_RAW" not in os.environ, reason="STIR_RAW names no folder of MNIST files")
def test_the_whole_of_mnist_agrees_with_the_published_procedure(golden, tmp_path):
    dataset = STIRDataset(build("mnist", out_dir=tmp_path, raw_dir=os.environ["STIR_RAW"]))
    assert np.array_equal(dataset.positions, golden["positions"])
    assert np.abs(dataset.images.mean((-1, -2)) - golden["mean"]).max() < 0.01
    for (split, row), sheet in zip(golden["sample_index"], golden["sample"], strict=True):
        difference = np.abs(dataset.images[split, row, :, :3].astype(int) - sheet)
        assert difference.mean() < 0.001


def test_training_takes_the_first_50_of_a_shuffled_class_and_validation_the_next(raw):
    images, labels = idx.read_images(raw, "train"), idx.read_labels(raw, "train")
    of_class = images[labels == 7]
    np.random.RandomState(42).shuffle(of_class)
    digits = mnist.choose(raw)
    assert np.array_equal(digits[0, 7], of_class[:50])
    assert np.array_equal(digits[1, 7], of_class[50:100])
    of_class = idx.read_images(raw, "t10k")[idx.read_labels(raw, "t10k") == 7]
    np.random.RandomState(42).shuffle(of_class)
    assert np.array_equal(digits[2, 7], of_class)


def test_files_that_are_not_gzipped_do_as_well(raw):
    gzipped = mnist.choose(raw)
    for path in raw.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert np.array_equal(mnist.choose(raw), gzipped)


def spoil(raw: Path, how: str) -> None:
    images, labels = raw / "train-images-idx3-ubyte.gz", raw / "train-labels-idx1-ubyte.gz"
    plain = gzip.decompress(images.read_bytes())
    if how == "missing":
        labels.unlink()
    elif how == "cut gzip":
        images.write_bytes(images.read_bytes()[:-1000])
    elif how == "cut idx":
        images.write_bytes(gzip.compress(plain[:-1]))
    elif how == "header":
        images.write_bytes(gzip.compress(plain[:7]))
    elif how == "magic":
        images.write_bytes(gzip.compress(b"\0\0\x08\x01" + plain[4:]))
    elif how == "few":
        write_idx(raw, "train", np.ones((20, 28, 28)), np.zeros(20))
    elif how == "uneven":
        write_idx(raw, "t10k", np.ones((20, 28, 28)), np.zeros(19))
    elif how == "size":
        write_idx(raw, "train", np.ones((20, 27, 28)), np.zeros(20))
    elif how == "blank":
        write_idx(raw, "t10k", np.zeros((500, 28, 28)), np.tile(np.arange(10), 50))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", "has neither"),
        ("cut gzip", "must be a whole gzip file"),
        ("cut idx", "791840 bytes after its header; it holds 791839"),
        ("header", "starts with 16 bytes of header; .* has 7"),
        ("magic", "must start with the number 2051; it starts with 2049"),
        ("few", "at least 100 images of each digit in its train file; of 0 there are 20"),
        ("uneven", "20 images and 19 labels"),
        ("size", "must be 28 x 28"),
        ("blank", "one of 0 in the t10k file is blank"),
    ],
)
def test_a_spoilt_raw_file_is_refused_in_a_sentence_and_nothing_is_written(
    raw, tmp_path, how, words
):
    spoil(raw, how)
    out = tmp_path / "out"
    with pytest.raises(StirError, match=words):
        build("mnist", out_dir=out, raw_dir=raw)
    assert not out.exists()
