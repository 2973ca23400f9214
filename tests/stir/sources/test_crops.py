from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stir.sources import crops
from stir.sources.crops import Sighting, check_usable, crop, cut
from stir.sources.photos import Photo, UnusableError

PHOTO = Photo(Path("archive.zip"), "images/p.jpg")


def photo(width: int, height: int) -> Image.Image:
    rng = np.random.RandomState(width)
    coarse = Image.fromarray(rng.randint(0, 256, (height // 6, width // 6, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.NEAREST)  # edges make Lanczos overshoot


def sighting(left: int, top: int, width: int, height: int, *, oblong: bool = False) -> Sighting:
    return Sighting(PHOTO, 3, "a", left, top, left + width, top + height, oblong)


def resized_whole(pixels: Image.Image, thing: Sighting, side: int) -> np.ndarray:
    """The photo as the published procedure resized it, all of it."""
    if thing.oblong:
        factors = [side / max(thing.width, thing.height)] * 2
        size = tuple(round(n * f) for n, f in zip(pixels.size, factors, strict=True))
    else:
        size = (
            round(pixels.width * side / thing.width),
            round(pixels.height * side / thing.height),
        )
    return np.asarray(pixels.resize(size, Image.Resampling.LANCZOS)).astype(int)


def assert_equal_but_for_rounding(wanted: np.ndarray, got: np.ndarray) -> None:
    """Pillow rounds between its two passes and after them."""
    difference = np.abs(wanted - got)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.02


@pytest.mark.parametrize("oblong", [False, True])
@pytest.mark.parametrize("side", [17, 40, 64])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_crop_is_what_resizing_the_whole_photo_shows_there(oblong, side, where):
    pixels = photo(500, 420)
    thing = sighting(150, 130, 73, 77, oblong=oblong)
    whole = resized_whole(pixels, thing, side)
    room = whole.shape[1] - 64, whole.shape[0] - 64
    x, y = {"first": (0, 0), "middle": (room[0] // 3, room[1] // 2), "last": room}[where]
    assert_equal_but_for_rounding(whole[y : y + 64, x : x + 64], crop(pixels, thing, side, (x, y)))


@pytest.mark.parametrize("shape", [(300, 1200), (500, 420), (1200, 300)])
def test_a_crop_follows_pillow_in_the_order_of_its_passes(shape):
    rng = np.random.RandomState(0)
    noise = Image.fromarray(rng.randint(0, 256, (shape[1], shape[0], 3), np.uint8))
    for width, height, side in [(66, 69, 64), (69, 66, 64), (70, 71, 40)]:
        thing = sighting(100, 100, width, height)
        whole = resized_whole(noise, thing, side)
        assert_equal_but_for_rounding(whole[:64, :64], crop(noise, thing, side, (0, 0)))


def test_an_object_lies_at_its_corner_in_every_one_of_its_48_crops():
    pixels = photo(500, 420)
    thing = sighting(150, 130, 73, 77)
    result = cut(pixels, thing, 42)
    for row, side in enumerate(range(64, 16, -1)):
        whole = resized_whole(pixels, thing, side)
        x, y = round(150 * side / 73), round(130 * side / 77)
        left, top = result.corners[row]
        wanted = whole[y - top : y - top + 64, x - left : x - left + 64]
        assert_equal_but_for_rounding(wanted, result.images[row])


def test_places_follow_from_seed_and_object():
    pixels, thing = photo(500, 420), sighting(150, 130, 73, 77)
    first = cut(pixels, thing, 42)
    assert np.array_equal(first.corners, cut(pixels, thing, 42).corners)
    assert not np.array_equal(first.corners, cut(pixels, thing, 43).corners)
    other = Sighting(PHOTO, 4, "a", 150, 130, 223, 207, False)
    assert not np.array_equal(first.corners, cut(pixels, other, 42).corners)


def test_places_are_spread_over_the_whole_range():
    pixels = photo(1000, 900)
    corners = np.concatenate(
        [cut(pixels, sighting(450, 400, 73, 77), seed).corners for seed in range(20)]
    )
    smallest = corners[47::48]  # 17 px: x and y from 0 to 47
    assert smallest.min() <= 8
    assert smallest.max() >= 39


@settings(max_examples=200, deadline=None)
@given(data=st.data(), oblong=st.booleans(), side=st.integers(17, 64))
def test_the_box_is_inside_the_crop_and_the_crop_inside_the_photo(data, oblong, side):
    width, height = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))
    left, top = data.draw(st.integers(0, 500)), data.draw(st.integers(0, 500))
    right, below = data.draw(st.integers(0, 500)), data.draw(st.integers(0, 500))
    thing = sighting(left, top, width, height, oblong=oblong)
    size = (left + width + right, top + height + below)
    try:
        check_usable(thing, size)
    except UnusableError:
        return
    for axis in (0, 1):
        start, end = thing.span(axis, side)
        whole = thing.resized(size[axis], axis, side)
        low, high = crops.crop_range(start, end, whole)
        assert 0 <= low <= high <= whole - 64
        for corner in (low, high):
            assert start - corner >= 0
            assert end - corner <= 65  # a pixel for rounding


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((-1, 5, 70, 70), "leaves the photo of 500 x 420 px"),
        ((450, 5, 70, 70), "leaves the photo"),
        ((5, 5, 0, 70), "leaves the photo"),
        ((5, 5, 400, 400), "its photo is only 18 px long when the object is smallest"),
    ],
)
def test_an_object_that_cannot_be_cut_says_why(box, words):
    with pytest.raises(UnusableError, match=words):
        check_usable(sighting(*box), (500, 420))
