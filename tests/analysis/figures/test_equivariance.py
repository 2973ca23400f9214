import math

import pandas as pd
import pytest

from analysis.figures.equivariance import equivariance


def errors_of(*errors: float, **more: object) -> pd.DataFrame:
    """Trials of one model with these errors, accuracies 0.5, 0.6 and so on."""
    base = {"model": "pixel_pool", "dataset": "emoji", "scenario": 2, "undefined": 0, "objects": 8}
    rows = [
        base | {"error": error, "test_accuracy": 0.5 + place / 10} | more
        for place, error in enumerate(errors)
    ]
    return pd.DataFrame(rows)


def test_dots_are_trials_and_the_marker_stands_at_their_mean():
    dots, mean = equivariance(errors_of(0.2, 0.4)).axes[0].lines
    assert list(dots.get_xdata()) == [0.2, 0.4]
    assert list(dots.get_ydata()) == [0.5, 0.6]
    assert float(mean.get_xdata()[0]) == pytest.approx(0.3)
    assert float(mean.get_ydata()[0]) == pytest.approx(0.55)


def test_undefined_errors_are_counted_in_the_panel():
    figure = equivariance(errors_of(0.2, 0.4, undefined=2))
    assert [text.get_text() for text in figure.axes[0].texts] == ["4 of 16 errors undefined"]


def test_a_cell_of_undefined_errors_only_is_marked():
    figure = equivariance(errors_of(math.nan, undefined=8))
    assert [text.get_text() for text in figure.axes[0].texts] == ["no errors"]


@pytest.mark.parametrize(("scenario", "words"), [(2, "unseen scales"), (4, "all scales")])
def test_the_axis_says_which_scales(scenario, words):
    [axes] = equivariance(errors_of(0.2, scenario=scenario)).axes
    assert axes.get_xlabel() == f"equivariance error, {words}"


def test_a_cell_whose_trials_were_not_evaluated_says_so():
    figure = equivariance(pd.concat([errors_of(1.0, dataset="mnist", scenario=1), errors_of(1.0)]))
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [["not evaluated"], [], [], ["not evaluated"]]
