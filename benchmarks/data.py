"""How long datasets take to make, and how much memory: ours beside the published procedure.

python -m benchmarks.data --raw FOLDER_OF_MNIST_FILES
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from stir import schema
from stir.cores import processor_name
from stir.sources import crops, idx, mnist, photos
from stir.sources.placement import CANVAS

T = TypeVar("T")

PUBLISHED_IMAGES = 40  # of mnist, timed one by one
PHOTO_SIZE = (4000, 3000)  # pixels, as Mapillary's
SIGN_SIDE = 150  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--raw", type=Path, help="folder of the four MNIST files")
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as out:
        print(f"\n{'dataset':<10} {'images':>8} {'seconds':>8} {'peak MB':>8}")
        for name in ("emoji", "shapes", *(["mnist"] if args.raw else [])):
            raw = ["--raw", str(args.raw)] if name == "mnist" else []
            seconds, peak_mb = run(["build", name, "--out", out, *raw])
            with np.load(Path(out) / f"{name}.npz") as arrays:
                count = arrays["lbls"].size
            print(f"{name:<10} {count:>8} {seconds:>8.1f} {peak_mb:>8.0f}")
    if args.raw:
        print("\nmnist, milliseconds an image:", compare_mnist(args.raw))
    print("\ncrops from a 12-megapixel photo, milliseconds an image:", compare_crops())


def machine() -> str:
    """One line on what this was run on."""
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    machine = f"{processor_name()}, {os.cpu_count()} cores, {platform.system()}"
    return f"{machine}, {versions}, busy {load():.1f}"


def load() -> float:
    """Processes that wanted to run in the last minute, ours or not."""
    return os.getloadavg()[0]


def run(arguments: list[str]) -> tuple[float, float]:
    """Wall-clock seconds and peak resident megabytes of one ``stir`` command."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "stir", *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"stir {' '.join(arguments)} ended with status {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def compare_mnist(raw_dir: Path) -> str:
    """The published procedure and ours, in turns, on the same digits."""
    images, labels = idx.read_images(raw_dir, "train"), idx.read_labels(raw_dir, "train")
    chosen = mnist.choose(raw_dir)
    rng = np.random.RandomState(0)
    theirs_seconds, ours_seconds = [], []
    for number in range(PUBLISHED_IMAGES):
        digit, side = number % 10, int(rng.randint(17, 65))
        corner = rng.randint(0, CANVAS - side + 1, 2)
        theirs, seconds = timed(
            lambda d=digit, s=side, c=corner: published_digit(images, labels, d, 0, s, c)
        )
        theirs_seconds.append(seconds)
        corners = np.tile(corner, (50, 1))
        ours, seconds = timed(lambda d=digit, s=side, c=corners: mnist.render(chosen[0, d], s, c))
        ours_seconds.append(seconds / 50)
        if np.abs(theirs.astype(int) - ours[0]).max() > 1:
            raise SystemExit("the published procedure and ours disagree")
    slow, fast = np.median(theirs_seconds), np.median(ours_seconds)
    return (
        f"published {1000 * slow:.2f} (reshuffles a class for every image), ours "
        f"{1000 * fast:.3f}, {slow / fast:.0f} times less; equal to a grey level"
    )


def published_digit(
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    digit: int,
    instance: int,
    side: int,
    corner: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """One image as the published generator makes it, scikit-image's calls spelt out in SciPy's."""
    of_class = images[labels == digit]
    np.random.RandomState(42).shuffle(of_class)
    picture = of_class[instance].astype(float)
    low, high = picture.min(), picture.max()
    if side < mnist.SIDE:
        picture = ndimage.gaussian_filter(picture, (mnist.SIDE / side - 1) / 2, mode="mirror")
    zoomed = ndimage.zoom(picture, side / mnist.SIDE, order=3, mode="mirror", grid_mode=True)
    x, y = corner
    rest = CANVAS - side
    canvas = np.pad(np.clip(np.asarray(zoomed), low, high), ((y, rest - y), (x, rest - x)))
    canvas = ndimage.gaussian_filter(canvas, 7 / 8 * side / mnist.SIDE, mode="nearest")
    canvas = 2 / np.pi * np.arctan(0.02 * (canvas - 128))
    return (255.0 * (canvas - canvas.min()) / (canvas.max() - canvas.min())).astype(np.uint8)


def compare_crops() -> str:
    """Resizing the whole photo for each image, and computing the crop alone."""
    rng = np.random.RandomState(0)
    coarse = Image.fromarray(rng.randint(0, 256, (300, 400, 3), np.uint8))
    photo = coarse.resize(PHOTO_SIZE, Image.Resampling.BICUBIC)
    left, top = 2000, 1500
    sign = crops.Sighting(
        photos.Photo(Path("train.0.zip"), "images/x.jpg"),
        0,
        "sign",
        left,
        top,
        left + SIGN_SIDE,
        top + SIGN_SIDE,
        oblong=False,
    )
    result, ours = timed(lambda: crops.cut(photo, sign, crops.SEED))
    theirs = []
    for row in range(0, len(schema.SCALE_AXIS), 6):
        side = schema.SCALE_AXIS[row]
        size = tuple(sign.resized(photo.size[axis], axis, side) for axis in (0, 1))
        whole, seconds = timed(lambda s=size: photo.resize((s[0], s[1]), crops.LANCZOS))
        theirs.append(seconds)
        x, y = (sign.span(axis, side)[0] - int(result.corners[row, axis]) for axis in (0, 1))
        wanted = np.asarray(whole.crop((x, y, x + CANVAS, y + CANVAS))).astype(int)
        if np.abs(wanted - result.images[row]).max() > 1:
            raise SystemExit("a crop and the resized photo disagree")
    slow, fast = float(np.mean(theirs)), ours / len(schema.SCALE_AXIS)
    return (
        f"whole photo {1000 * slow:.0f}, crop {1000 * fast:.2f}, {slow / fast:.0f} times less; "
        "equal to a grey level"
    )


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
