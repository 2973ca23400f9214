import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.errors import TuneJobsError
from tune_jobs.study.distributions import Choice, Steps, Uniform, parse_distribution


def parsed(content: dict[str, Any]):
    return parse_distribution(content, "axes.lr", lambda value: value)


def draws(distribution: Choice | Uniform | Steps, count: int = 4000) -> list[Any]:
    rng = np.random.default_rng(1)
    return [distribution.draw(rng) for _ in range(count)]


def test_a_log_uniform_number_is_as_often_in_each_decade():
    values = draws(parsed({"loguniform": ["1e-4", 0.1]}))
    assert all(1e-4 <= value <= 0.1 for value in values)
    shares = np.bincount([int(math.log10(value) + 4) for value in values if value < 0.1]) / 4000
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)


def test_a_uniform_number_is_as_often_in_each_tenth_of_its_range():
    values = draws(parsed({"uniform": [2, 4]}))
    shares = np.histogram(values, bins=10, range=(2, 4))[0] / 4000
    assert shares == pytest.approx([0.1] * 10, abs=0.02)


def test_a_number_from_a_continuous_range_has_few_digits_and_stays_in_it():
    narrow = parsed({"uniform": [0.123456, 0.123457]})
    assert {0.123456 <= value <= 0.123457 for value in draws(narrow, 20)} == {True}
    assert all(value == float(f"{value:.4g}") for value in draws(parsed({"uniform": [0, 1]}), 200))


def test_both_ends_of_whole_numbers_and_of_steps_are_drawn():
    assert set(draws(parsed({"randint": [3, 6]}), 200)) == {3, 4, 5, 6}
    assert set(draws(parsed({"quniform": [3, 11, 4]}), 200)) == {3, 7, 11}
    assert set(draws(parsed({"quniform": [0.1, 0.3, 0.1]}), 200)) == {0.1, 0.2, 0.3}
    assert set(draws(parsed({"quniform": [1, 4, 2]}), 200)) == {1, 3}


def test_steps_of_whole_numbers_are_whole():
    assert {type(value) for value in draws(parsed({"quniform": [8, 64, 8]}), 50)} == {int}


def test_each_option_is_drawn_as_often_as_the_next():
    values = draws(parsed({"choice": ["a", None, 3]}))
    assert {value: values.count(value) / 4000 for value in ("a", None, 3)} == pytest.approx(
        {"a": 1 / 3, None: 1 / 3, 3: 1 / 3}, abs=0.03
    )


def test_an_option_that_is_given_twice_is_one_option():
    assert parsed({"choice": [1, 1, 2]}) == Choice((1, 2))


@given(
    low=st.floats(1e-6, 1e3), width=st.floats(1e-3, 1e6), log=st.booleans(), seed=st.integers(0, 99)
)
def test_what_is_drawn_lies_between_the_ends(low: float, width: float, log: bool, seed: int):
    kind = Uniform(low, low + width, log)
    assert low <= kind.draw(np.random.default_rng(seed)) <= low + width


@given(low=st.integers(-50, 50), width=st.integers(1, 50), step=st.integers(1, 7))
def test_steps_are_python_s_range(low: int, width: int, step: int):
    kind = Steps(low, low + width, step)
    assert [kind.value(i) for i in range(kind.count)] == list(range(low, low + width + 1, step))


@pytest.mark.parametrize(
    "content",
    [
        {"choice": ["bicubic", None]},
        {"uniform": [0.5, 2.0]},
        {"loguniform": [0.001, 0.1]},
        {"quniform": [8, 32, 8]},
        {"randint": [1, 9]},
    ],
)
def test_a_distribution_says_what_it_is_as_a_file_does(content: dict[str, Any]):
    assert parsed(content).content == content
    assert parsed(parsed(content).content) == parsed(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "axes.lr must be one value or one distribution such as"),
        ({"from": 1, "to": 2}, "axes.lr must be one value or one distribution such as"),
        ({"logunifrom": [1, 2]}, "axes.lr must be drawn from .*Did you mean 'loguniform'?"),
        ({3: [1, 2]}, "axes.lr must be drawn from a known distribution; got 3"),
        ({"uniform": 3}, "axes.lr.uniform must be a list; got 3"),
        ({"uniform": [1]}, "axes.lr.uniform must be a lowest and a highest value"),
        ({"uniform": [2, 1]}, "axes.lr.uniform must be a lowest and a highest value"),
        ({"uniform": [1, 1]}, "both of which can be drawn"),
        ({"uniform": [1, "many"]}, "axes.lr.uniform must be a lowest"),
        ({"uniform": [1, float("inf")]}, "axes.lr.uniform must be a lowest"),
        ({"uniform": [1, 1e300]}, re.escape("axes.lr.uniform must lie between -2**62 and")),
        ({"loguniform": [0, 1]}, "axes.lr.loguniform must begin above 0; got 0"),
        ({"randint": [1, 2.5]}, "axes.lr.randint must be two whole numbers"),
        ({"quniform": [1, 2]}, "a lowest and a highest value and a step above 0"),
        ({"quniform": [1, 2, 0]}, "a lowest and a highest value and a step above 0"),
        ({"quniform": [1, 2, 1e-300]}, "axes.lr.quniform must have fewer steps"),
        ({"choice": []}, "axes.lr.choice must have at least one value"),
    ],
)
def test_a_bad_distribution_is_refused_with_key_and_remedy(content: dict, message: str):
    with pytest.raises(TuneJobsError, match=message):
        parsed(content)


def test_every_value_of_a_short_range_and_the_ends_of_a_long_one_are_checked():
    seen: list[Any] = []
    parse_distribution({"randint": [3, 6]}, "x", seen.append)
    assert set(seen) == {3, 4, 5, 6}
    seen.clear()
    parse_distribution({"randint": [0, 2**32]}, "x", seen.append)
    assert set(seen) == {0, 2**32}
