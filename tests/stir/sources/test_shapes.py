import numpy as np
import pytest

from stir import schema
from stir.dataset import STIRDataset
from stir.sources import shapes
from stir.sources.placement import Corner
from stir.terminal import silent


@pytest.fixture(scope="module")
def dataset(shapes_path):
    return STIRDataset(shapes_path)


def test_the_shapes_pass_the_check_and_say_they_are_not_of_the_benchmark(shapes_path, dataset):
    assert schema.check(shapes_path) == []
    assert dataset.num_channels == 3
    assert "not part of the benchmark" in dataset.metadata["title"]
    assert "Not part of the STIR benchmark" in dataset.metadata["description"]


def test_the_same_seed_draws_the_same_images_and_another_seed_others(dataset, monkeypatch):
    monkeypatch.setattr(shapes, "INSTANCES", 1)
    first, again = (shapes.make(silent, seed=7)["imgs"] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, shapes.make(silent, seed=8)["imgs"])


@pytest.mark.parametrize("name", shapes.FIGURES)
@pytest.mark.parametrize("side", [17, 64])
def test_a_figure_touches_all_four_sides_of_its_box(name, side):
    coverage = shapes.cover(name, side)
    edges = [coverage[0], coverage[-1], coverage[:, 0], coverage[:, -1]]
    assert all(edge.max() > 0 for edge in edges)


def test_a_figure_differs_from_its_ground_and_ends_at_its_box():
    rng = np.random.RandomState(0)
    figure, ground = shapes.draw_pair(rng)
    corner = Corner(10, 30)
    image = shapes.paint(np.ones((20, 20)), corner, figure, ground).astype(int)
    plain = shapes.paint(np.zeros((20, 20)), corner, figure, ground).astype(int)
    changed = np.abs(image - plain).max(-1) > 0
    box = np.zeros((64, 64), bool)
    box[30:50, 10:30] = True
    assert np.array_equal(changed, box)


def test_object_and_ground_grow_together():
    figure, ground = shapes.draw_pair(np.random.RandomState(0))
    small = shapes.paint(np.ones((20, 20)), Corner(22, 22), figure, ground).astype(float)
    large = shapes.paint(np.ones((60, 60)), Corner(2, 2), figure, ground).astype(float)
    centres = large[3:63:3, 3:63:3]  # every third pixel of 60 is the centre of one of 20
    assert np.abs(centres - small[22:42, 22:42]).max() <= 1
