"""With few seeds intervals cover what they say, and chance differences do not pass for real."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import stats
from analysis.collection.rows import rows_of_record
from analysis.results.comparison import compared
from analysis.results.published import published_summary
from analysis.tables import schemas

DRAWS = 2000
NOISE = 0.015  # three standard errors of a share of 95 % in so many draws

SCORES = {  # mean of the scores, and how to draw them
    "normal": (0.5, lambda rng, size: rng.normal(0.5, 0.1, size)),
    "uniform": (0.5, lambda rng, size: rng.uniform(0.2, 0.8, size)),
    "bell in 0..1": (0.8, lambda rng, size: rng.beta(40, 10, size)),
}


@pytest.mark.parametrize("size", [2, 3, 5, 7])
@pytest.mark.parametrize("kind", SCORES)
def test_an_interval_for_few_seeds_covers_the_mean(kind, size):
    mean, draw = SCORES[kind]
    rng = np.random.default_rng(1)
    intervals = [stats.mean_interval(scores, rng=rng) for scores in draw(rng, (DRAWS, size))]
    covered = np.mean([one.low <= mean <= one.high for one in intervals])
    least = 0.95 if kind != "uniform" else 0.92  # Student's t is exact for normal scores only
    assert covered >= least - NOISE
    assert {one.method for one in intervals} == {stats.STUDENT}


def test_a_bootstrap_would_not_cover_three_seeds():
    """What the method of FEW scores and more does below that: the reason for another."""
    rng = np.random.default_rng(1)
    drawn = rng.normal(0.5, 0.1, (500, 3))
    bounds = [stats.bootstrap_interval(scores, rng=rng, draws=500) for scores in drawn]
    assert np.mean([one.low <= 0.5 <= one.high for one in bounds]) < 0.85


def test_from_eight_scores_on_the_bootstrap_is_taken():
    rng = np.random.default_rng(1)
    assert stats.mean_interval(rng.normal(size=8), rng=rng).method == stats.BOOTSTRAP


def test_an_interval_for_an_accuracy_stays_within_0_and_1():
    scores = np.array([0.9, 0.99])
    interval = stats.mean_interval(scores, rng=np.random.default_rng(1), bounds=(0, 1))
    assert interval.high == 1


@pytest.mark.parametrize("size", [2, 3, 5, 7])
def test_few_scores_of_the_same_kind_differ_from_many_as_rarely_as_promised(size):
    rng = np.random.default_rng(2)
    few, many = rng.normal(size=(DRAWS, size)), rng.normal(size=(DRAWS, 50))
    gaps = [
        stats.independent(stats.sample(one), stats.sample(two))
        for one, two in zip(few, many, strict=True)
    ]
    assert np.mean([gap.p() < 0.05 for gap in gaps]) <= 0.05 + NOISE
    assert np.mean([gap.interval().low <= 0 <= gap.interval().high for gap in gaps]) >= 0.95 - NOISE


def test_three_close_scores_do_not_pass_for_a_small_spread():
    ours, theirs = stats.sample(np.array([0.362, 0.372, 0.356])), stats.Sample(50, 0.5, 0.145)
    assert stats.welch(ours, theirs).p() < 1e-6
    assert stats.independent(ours, theirs).p() > 0.05


def test_a_wide_spread_of_few_scores_is_not_hidden_by_many_close_ones():
    ours, theirs = stats.sample(np.array([0.2, 0.5, 0.8])), stats.Sample(50, 0.3, 0.01)
    assert stats.independent(ours, theirs).method == "Welch"


@pytest.fixture
def verdict_of(make_record):
    """The verdict on runs of a model on emoji, scenario 2, with given accuracies."""

    def verdict_of(model: str, accuracies: list[float]) -> tuple[str, str]:
        rows = []
        for seed, accuracy in enumerate(accuracies, start=1):
            record = replace(make_record(model=model, seed=seed), test_accuracy=accuracy)
            rows += rows_of_record(record)["trials"].to_pylist()
        trials = pd.DataFrame(rows)
        points = schemas.SCHEMAS["study_points"].empty_table().to_pandas()
        [row] = compared(trials, points, published_summary()).to_dict("records")
        return row["verdict"], row["test"]

    return verdict_of


def test_three_real_runs_of_spatial_transform_are_too_few(verdict_of):
    assert verdict_of("spatial_transform", [0.362, 0.372, 0.356]) == ("too few runs", "pooled")


def test_three_real_runs_of_standard_are_not_said_to_differ(verdict_of):
    verdict, _ = verdict_of("standard", [0.335, 0.402, 0.391])
    assert verdict in ("too few runs", "agrees")


def test_three_runs_far_away_still_differ(verdict_of):
    assert verdict_of("standard", [0.70, 0.72, 0.71]) == ("differs", "pooled")
