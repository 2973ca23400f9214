import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stir import StirError
from stir.sources.placement import CANVAS, Corner, crop_range, draw_corner, place

sides = st.integers(1, CANVAS)


@given(side=sides, seed=st.integers(0, 1000))
def test_a_drawn_place_keeps_the_object_on_the_canvas(side, seed):
    corner = draw_corner(side, np.random.RandomState(seed))
    assert 0 <= corner.x <= CANVAS - side
    assert 0 <= corner.y <= CANVAS - side


def test_every_place_is_drawn_sooner_or_later():
    rng = np.random.RandomState(0)
    drawn = {draw_corner(61, rng) for _ in range(400)}
    assert drawn == {(x, y) for x in range(4) for y in range(4)}


def test_the_same_seed_draws_the_same_places_and_another_seed_others():
    first, again, other = (
        [draw_corner(17, rng) for _ in range(20)]
        for rng in map(np.random.RandomState, (42, 42, 43))
    )
    assert first == again
    assert first != other


@given(data=st.data(), side=sides)
def test_the_object_is_put_at_its_corner_and_nothing_else_is_changed(data, side):
    room = st.integers(0, CANVAS - side)
    corner = Corner(data.draw(room), data.draw(room))
    thing = np.random.RandomState(side).randint(1, 256, (side, side)).astype(np.uint8)
    canvas = place(thing, corner)
    assert np.array_equal(canvas[corner.y :, corner.x :][:side, :side], thing)
    assert np.count_nonzero(canvas) == side * side


@pytest.mark.parametrize("corner", [Corner(-1, 0), Corner(0, 45), Corner(45, 0)])
def test_an_object_off_the_canvas_is_refused(corner):
    with pytest.raises(StirError, match="x and y from 0 to 44 do"):
        place(np.ones((20, 20)), corner)


def test_an_object_that_is_not_square_is_refused():
    with pytest.raises(StirError, match="must be square"):
        place(np.ones((20, 21)), Corner(0, 0))


@given(start=st.integers(0, 500), length=st.integers(1, CANVAS), rest=st.integers(0, 500))
def test_a_crop_holds_the_box_and_lies_in_the_picture(start, length, rest):
    size = max(CANVAS, start + length + rest)
    low, high = crop_range(start, start + length, size)
    assert 0 <= low <= high <= size - CANVAS
    for corner in {low, high}:
        assert corner <= start
        assert start + length <= corner + CANVAS


def test_the_range_of_a_crop_is_that_of_the_published_draw():
    assert crop_range(100, 117, 300) == (53, 100)
    assert crop_range(10, 27, 300) == (0, 10)
    assert crop_range(280, 297, 300) == (233, 236)
