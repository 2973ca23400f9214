from pathlib import Path

import numpy as np
import pytest

import stir
from stir import schema

GOLDEN = Path(__file__).parents[2] / "golden" / "stir-emoji.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def emoji(emoji_path):
    return stir.STIRDataset(emoji_path)


def test_every_emoji_lies_where_the_published_procedure_put_it(emoji, golden):
    assert np.array_equal(emoji.positions, golden["positions"])


def test_every_image_is_as_bright_as_cairo_made_it_to_half_a_grey_level(emoji, golden):
    assert np.abs(emoji.images.mean((-1, -2)) - golden["mean"]).max() < 0.5


def test_pixels_inside_the_box_differ_from_cairo_by_one_grey_level_on_average(emoji, golden):
    errors = []
    for (split, row), sheet in zip(golden["sample_index"], golden["sample"], strict=True):
        difference = np.abs(emoji.images[split, row].astype(int) - sheet)
        errors.append(difference.sum((-1, -2)) / schema.SCALE_AXIS[row] ** 2)
        assert difference.max() <= 45
    assert np.mean(errors) < 1.0
    assert np.max(errors) < 4.4


def test_at_64_pixels_there_is_one_place_so_the_three_splits_are_equal(emoji):
    largest = emoji.images[:, 0]
    assert np.array_equal(largest[0], largest[1])
    assert np.array_equal(largest[0], largest[2])


def test_the_emoji_pass_the_check_and_carry_their_licence(emoji_path, emoji):
    assert schema.check(emoji_path) == []
    assert emoji.name == "emoji"
    assert emoji.metadata["license"].startswith("CC BY 4.0 modified from Font Awesome")
    assert emoji.labeldata[0] == "tired"
