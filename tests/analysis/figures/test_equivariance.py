import math

import pandas as pd
import pytest

from analysis.figures.equivariance import UNSEEN, by_trial, equivariance, unseen
from stir.scenarios import SCENARIOS

PAIRS = [(64, 49), (49, 64), (48, 33), (33, 48), (32, 17), (17, 32)]


def errors_of(scenario: int, error: dict[tuple[int, int], float], **more: object) -> pd.DataFrame:
    """One trial's errors by scale pair, each over four objects."""
    base = {
        "point_id": "a",
        "model": "pixel_pool",
        "dataset": "emoji",
        "scenario": scenario,
        "test_accuracy": 0.5,
        "stage": 2,
    }
    return pd.DataFrame(
        [
            base
            | {"defined": 0 if math.isnan(value) else 4, "objects": 4}
            | {"scale": scale, "other_scale": other, "error": value}
            | more
            for (scale, other), value in error.items()
        ]
    )


@pytest.mark.parametrize("scenario", [1, 2, 3])
def test_unseen_pairs_hold_no_scale_that_was_trained_on(scenario):
    trained = set(SCENARIOS[scenario].train_scales)
    assert len(UNSEEN[scenario]) == 4
    assert all(trained.isdisjoint(pair) for pair in UNSEEN[scenario])


def test_each_scenario_takes_its_own_pairs():
    kept = {s: unseen(errors_of(s, dict.fromkeys(PAIRS, 1.0))) for s in SCENARIOS}
    assert {s: len(rows) for s, rows in kept.items()} == {1: 4, 2: 4, 3: 4, 4: 6}
    assert (64, 49) not in set(zip(kept[3]["scale"], kept[3]["other_scale"], strict=True))


def test_a_trials_error_is_the_mean_over_unseen_pairs_of_the_stage():
    second = errors_of(2, {(64, 49): 0.2, (17, 32): 0.4, (48, 33): 9.0})
    first = errors_of(2, {(64, 49): 7.0}, stage=1)
    figure = equivariance(pd.concat([second, first]))
    dots, mean = figure.axes[0].lines
    assert list(dots.get_xdata()) == pytest.approx([0.3])
    assert list(mean.get_ydata()) == [0.5]


def test_undefined_errors_are_counted_in_the_panel():
    figure = equivariance(errors_of(2, {(64, 49): 0.2, (17, 32): math.nan}))
    assert [text.get_text() for text in figure.axes[0].texts] == ["4 of 8 errors undefined"]


def test_a_cell_of_undefined_errors_only_is_marked():
    figure = equivariance(errors_of(2, {(64, 49): math.nan}))
    assert [text.get_text() for text in figure.axes[0].texts] == ["no errors"]


def test_every_object_weighs_the_same_where_some_have_no_error():
    few = errors_of(2, {(64, 49): 1.0}, defined=1)
    many = errors_of(2, {(49, 64): 0.0}, defined=4)
    [trial] = by_trial(pd.concat([few, many])).to_dict("records")
    assert trial["error"] == 1 / 5


def test_a_cell_whose_trials_were_not_evaluated_says_so():
    one = errors_of(1, {(64, 49): 1.0}, dataset="mnist")
    figure = equivariance(pd.concat([one, errors_of(2, {(64, 49): 1.0})]))
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [["not evaluated"], [], [], ["not evaluated"]]
