import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from analysis import stats


def normal(seed: int, count: int, mean: float = 0.0, spread: float = 1.0):
    return np.random.default_rng(seed).normal(mean, spread, count)


# Bootstrap


@pytest.mark.parametrize(("count", "least", "most"), [(5, 0.89, 0.99), (25, 0.925, 0.975)])
def test_the_bootstrap_interval_covers_the_mean_about_as_often_as_it_says(count, least, most):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(600):
        low, high = stats.bootstrap_interval(rng.normal(size=count), rng=rng, draws=1000)
        covered += low <= 0 <= high
    assert least < covered / 600 < most


def test_the_bootstrap_interval_covers_the_mean_of_accuracies_that_pile_up_at_one():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        low, high = stats.bootstrap_interval(rng.beta(8, 1, size=25), rng=rng, draws=1000)
        covered += low <= 8 / 9 <= high
    assert 0.90 < covered / 400 < 0.985


def test_the_bootstrap_interval_nears_students_for_many_normal_scores():
    scores = normal(3, 400)
    low, high = stats.bootstrap_interval(scores, rng=np.random.default_rng(0), draws=20_000)
    expected = scipy_stats.t.interval(0.95, 399, scores.mean(), scipy_stats.sem(scores))
    assert (low, high) == pytest.approx(expected, abs=0.006)


def test_twelve_even_scores_give_students_width():
    """Plain percentiles would be 12 % narrower, those of Student's t alone 4 %."""
    scores = np.linspace(0, 1, 12)
    low, high = stats.bootstrap_interval(scores, rng=np.random.default_rng(0), draws=100_000)
    expected = scipy_stats.t.interval(0.95, 11, scores.mean(), scipy_stats.sem(scores))
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.02)


def test_the_same_generator_gives_the_same_interval_and_another_a_different_one():
    scores = normal(4, 10)
    one, same, other = (
        stats.bootstrap_interval(scores, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_the_interval_of_another_statistic_is_that_statistics():
    scores = np.array([0.0] * 3 + [1.0] * 22)
    interval = stats.bootstrap_interval(scores, rng=np.random.default_rng(0), statistic=np.median)
    assert interval == (1.0, 1.0)


@pytest.mark.parametrize("scores", [[], [0.5]])
def test_fewer_than_two_scores_have_no_interval(scores):
    interval = stats.bootstrap_interval(np.array(scores), rng=np.random.default_rng(0))
    assert all(math.isnan(end) for end in interval)


# Shares and means


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end():
    assert stats.interquartile_mean([0, 1, 2, 3, 4, 5, 6, 100]) == 3.5


def test_wilsons_interval_is_the_textbooks():
    """Brown, Cai and DasGupta (2001): no success in ten gives 0 .. 0.2775."""
    assert stats.share_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)


def test_a_share_of_nothing_has_no_interval():
    assert all(math.isnan(end) for end in stats.share_interval(0, 0))


# Two models


def test_welchs_test_and_interval_are_scipys():
    first, second = normal(1, 12, 0.3), normal(2, 30, 0.0, 2.0)
    ours = stats.contrast(first, second)
    theirs = scipy_stats.ttest_ind(first, second, equal_var=False)
    assert ours.welch_p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours.interval == pytest.approx(tuple(theirs.confidence_interval()), rel=1e-9)
    assert ours.mann_whitney_p == pytest.approx(scipy_stats.mannwhitneyu(first, second).pvalue)


def test_cliffs_delta_counts_won_pairs_minus_lost_ones():
    first, second = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.0])
    pairs = [np.sign(a - b) for a in first for b in second]
    assert stats.contrast(first, second).cliffs_delta == pytest.approx(np.mean(pairs))


def test_hedges_g_is_the_worked_example():
    """Two of five with means 5 and 3 and spread 2: d = 1, corrected by 1 - 3 / 31."""
    one, two = stats.Sample(5, 5.0, 2.0), stats.Sample(5, 3.0, 2.0)
    assert stats.hedges_g(one, two) == pytest.approx(1 - 3 / 31)


def test_equal_scores_without_spread_are_no_evidence():
    one = stats.Sample(5, 1.0, 0.0)
    assert math.isnan(stats.welch(one, one).p())
    assert stats.welch(one, one).interval() == (0.0, 0.0)


def test_one_score_is_too_few_to_compare():
    single, many = stats.Sample(1, 0.5, math.nan), stats.Sample(9, 0.4, 0.1)
    assert math.isnan(stats.welch(single, many).p())
    assert math.isnan(stats.welch(single, many).interval().low)


# Holm


def test_holms_correction_is_the_worked_example():
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")."""
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_missing_p_value_stays_missing_and_counts_nothing():
    answer = stats.holm([0.02, math.nan, 0.04])
    assert answer[0] == pytest.approx(0.04)
    assert math.isnan(answer[1])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holms_correction_keeps_the_order_and_never_lowers_a_p_value(p_values):
    answer = stats.holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, answer, strict=True))
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    assert all(answer[a] <= answer[b] for a, b in itertools.pairwise(order))


# Equivalence and pairing


def test_the_equivalence_test_is_two_welch_tests_with_shifted_means():
    first, second = normal(1, 12, 0.01, 0.05), normal(2, 30, 0.0, 0.04)
    gap = stats.welch(stats.sample(first), stats.sample(second))
    above = scipy_stats.ttest_ind(first + 0.05, second, equal_var=False, alternative="greater")
    below = scipy_stats.ttest_ind(first - 0.05, second, equal_var=False, alternative="less")
    assert gap.equivalence_p(0.05) == pytest.approx(max(above.pvalue, below.pvalue))


def test_a_difference_beyond_the_margin_is_no_equivalence():
    assert stats.Gap(0.2, 0.01, 30, "Welch").equivalence_p(0.1) > 0.999


def test_equal_means_without_spread_are_equivalent():
    assert stats.Gap(0.0, 0.0, math.inf, "Welch").equivalence_p(0.01) == 0


def test_the_paired_interval_is_scipys():
    base = normal(5, 25)
    moved = base + 0.1 + normal(6, 25, spread=0.1)
    theirs = scipy_stats.ttest_rel(moved, base)
    assert stats.paired(moved, base).p() == pytest.approx(theirs.pvalue)
    assert stats.paired(moved, base).interval() == pytest.approx(
        tuple(theirs.confidence_interval())
    )


def test_the_interval_of_a_correlation_is_scipys():
    first, second = normal(8, 20), normal(9, 20) + normal(8, 20)
    theirs = scipy_stats.pearsonr(first, second)
    assert stats.correlation(first, second) == pytest.approx(theirs.statistic)
    ours = stats.correlation_interval(theirs.statistic, 20)
    assert ours == pytest.approx(tuple(theirs.confidence_interval()))


def test_correlations_of_rows_are_scipys_without_the_missing_values():
    rows = np.random.default_rng(1).random((4, 3, 20))
    rows[0, 0, :5] = np.nan
    rows[1, 1] = 0.1  # its mean is not exactly 0.1
    rows[2, 2, 1:] = np.nan
    places = np.arange(20)
    found = stats.correlations(rows, places)
    theirs = scipy_stats.pearsonr(rows[0, 0, 5:], places[5:]).statistic
    assert found[0, 0] == pytest.approx(theirs)
    assert found[3, 1] == pytest.approx(np.corrcoef(rows[3, 1], places)[0, 1])
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 1], [2, 2]]


def test_three_seeds_are_too_few_to_speak_of_correlation():
    three = np.array([1.0, 2.0, 3.0])
    assert math.isnan(stats.correlation(three, three))


# Ranks

DEMSAR = np.array(  # Demsar (2006), Table 6: AUC of C4.5 and three variants on 14 data sets
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_ranks_and_critical_difference_are_those_of_the_published_example():
    """Average ranks 3.143, 2.000, 2.893, 1.964 and, at 5 %, a critical difference of 1.25."""
    names = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]
    ranking = stats.ranking(DEMSAR, names)
    assert list(ranking.ranks) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert list(ranking.ranks.values()) == pytest.approx([1.964, 2.0, 2.893, 3.143], abs=1e-3)
    assert ranking.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert ranking.friedman_p == pytest.approx(
        scipy_stats.friedmanchisquare(*DEMSAR.T).pvalue, rel=1e-12
    )


def test_groups_are_the_longest_runs_within_the_critical_difference():
    scores = np.array([[9.0, 8.0, 2.0, 1.0]] * 30)
    ranking = stats.ranking(scores, ["a", "b", "c", "d"])
    assert ranking.critical_difference == pytest.approx(0.856, abs=1e-3)
    assert ranking.alike == ()
    close = stats.ranking(scores[:8], ["a", "b", "c", "d"])
    assert close.critical_difference == pytest.approx(1.658, abs=1e-3)
    assert close.alike == (("a", "b"), ("b", "c"), ("c", "d"))


def test_a_tie_shares_its_ranks():
    ranking = stats.ranking(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), ["a", "b", "c"])
    assert ranking.ranks == {"a": 1.5, "b": 1.5, "c": 3.0}
