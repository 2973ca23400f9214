import math

import pandas as pd
import pytest

from analysis.results.searching import AXES, associations, places, varied


def search(**columns) -> pd.DataFrame:
    count = len(columns["best_valid_accuracy"])
    fixed = {name: [1] * count for name in AXES}
    return pd.DataFrame(fixed | columns)


def test_only_axes_that_vary_are_told():
    found = search(lr=[0.1, 0.2], batch_size=[8, 16], best_valid_accuracy=[0.5, 0.6])
    assert varied(found) == ["lr", "batch_size"]


def test_an_axis_of_decades_is_spread_in_logarithms_and_a_short_one_evenly():
    assert places(pd.Series([1e-4, 1e-3, 1e-2], name="lr")).tolist() == pytest.approx([0, 0.5, 1])
    assert places(pd.Series([10, 20, 40], name="patience")).tolist() == pytest.approx([0, 1 / 3, 1])


def test_names_stand_evenly_in_their_order_and_what_is_missing_has_no_place():
    found = places(pd.Series(["xu", None, "disco", "hermite"], name="model"))
    assert found.iloc[[0, 2, 3]].tolist() == [1.0, 0.0, 0.5]
    assert math.isnan(found.iloc[1])


def test_the_axis_that_decides_is_strongest_whichever_way_it_works():
    found = associations(
        search(
            lr=[0.1, 0.2, 0.3, 0.4],
            batch_size=[8, 16, 8, 16],
            best_valid_accuracy=[0.9, 0.8, 0.5, 0.2],
        )
    )
    assert found["axis"].tolist() == ["lr", "batch_size"]
    assert found["strength"].iloc[0] == pytest.approx(1.0)
    assert found["strength"].iloc[1] < 0.5


def test_a_model_that_decides_all_has_strength_one_and_one_that_decides_nothing_none():
    clear = search(model=["a", "a", "b", "b"], best_valid_accuracy=[0.5, 0.5, 0.9, 0.9])
    assert associations(clear)["strength"].tolist() == [pytest.approx(1.0)]
    even = search(model=["a", "b", "a", "b"], best_valid_accuracy=[0.5, 0.5, 0.9, 0.9])
    assert associations(even)["strength"].tolist() == [pytest.approx(0.0)]


def test_of_too_few_samples_with_an_outcome_nothing_is_said():
    few = search(lr=[0.1, 0.2, 0.3, 0.4], best_valid_accuracy=[0.9, 0.8, 0.5, None])
    assert associations(few)["strength"].isna().all()
    assert associations(few)["samples"].tolist() == [3]
