"""Intervals, tests and ranks: arrays go in, numbers come out; randomness is an argument.

Different models are never paired by seed: a seed decides initial weights only, and those of two
models have nothing in common.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Scores = NDArray[np.float64]


FEW = 8  # scores, below which their own spread says too little
STUDENT, BOOTSTRAP = "Student's t", "bootstrap"


class Interval(NamedTuple):
    """Both ends of an interval; NaN where there are too few values."""

    low: float
    high: float


class MeanInterval(NamedTuple):
    """Both ends of an interval for a mean, NaN for a single score, and the method."""

    low: float
    high: float
    method: str


def mean_interval(
    scores: Scores,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> MeanInterval:
    """An interval that covers the mean as often as it says, also for few scores.

    From FEW scores on the bootstrap, which follows skewed scores; below, Student's t: a bootstrap
    of three scores draws from three values and covers 76 % where it says 95 %. ``bounds`` cut the
    interval to the values that a mean can have.
    """
    if len(scores) < 2:
        return MeanInterval(math.nan, math.nan, "")
    if len(scores) >= FEW:
        low, high = bootstrap_interval(scores, rng=rng, level=level)
        return MeanInterval(low, high, BOOTSTRAP)
    size, mean, spread = sample(scores)
    reach = float(stats.t.isf((1 - level) / 2, size - 1)) * spread / math.sqrt(size)
    return MeanInterval(max(bounds[0], mean - reach), min(bounds[1], mean + reach), STUDENT)


def bootstrap_interval(
    scores: Scores,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 4000,
    statistic: Callable[..., Scores] = np.mean,
) -> Interval:
    """Bootstrap interval for a statistic of the scores, NaN for fewer than two of them.

    ``statistic`` takes ``axis``. The percentiles are those of Hesterberg (2015), "What teachers
    should know about the bootstrap", arXiv:1411.5279, section 4: moved outwards so that few scores
    do not give too narrow an interval. It does not correct for skewness.
    """
    count = len(scores)
    if count < 2:
        return Interval(math.nan, math.nan)
    picks = rng.integers(count, size=(draws, count))
    answers = statistic(scores[picks], axis=1)
    reach = stats.t.isf((1 - level) / 2, count - 1) * math.sqrt(count / (count - 1))
    tail = 100 * stats.norm.sf(reach)
    low, high = np.percentile(answers, [tail, 100 - tail])
    return Interval(float(low), float(high))


def interquartile_mean(scores: ArrayLike) -> float:
    """Mean of the middle half, a quarter of the scores cut off at either end (rounded down)."""
    return float(stats.trim_mean(np.asarray(scores, dtype=float), 0.25))


def share_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Wilson's interval for a share, such as that of collapsed runs; NaN for no trials."""
    if trials == 0:
        return Interval(math.nan, math.nan)
    test = stats.binomtest(successes, trials)
    interval = test.proportion_ci(confidence_level=level, method="wilson")
    return Interval(float(interval.low), float(interval.high))


class Sample(NamedTuple):
    """A set of scores by its size, mean and standard deviation (n - 1 in the denominator)."""

    size: int
    mean: float
    spread: float


def sample(scores: Scores) -> Sample:
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan
    return Sample(len(scores), float(np.mean(scores)), spread)


class Gap(NamedTuple):
    """A difference of two means, its standard error, and the degrees of freedom of its t."""

    difference: float
    error: float  # NaN where there are too few scores
    freedom: float
    method: str

    def interval(self, level: float = 0.95) -> Interval:
        reach = float(stats.t.isf((1 - level) / 2, self.freedom)) * self.error if self.error else 0
        return Interval(self.difference - reach, self.difference + reach)

    def p(self) -> float:
        """Two-sided p that there is no difference; NaN where nothing varies and nothing differs."""
        if self.error == 0:
            return 0.0 if self.difference else math.nan
        return float(2 * stats.t.sf(abs(self.difference) / self.error, self.freedom))

    def equivalence_p(self, margin: float) -> float:
        """p of two one-sided tests that the means differ by ``margin`` or more, either way.

        Source: Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15.
        """
        room = margin - abs(self.difference)
        if self.error == 0:
            return 0.0 if room > 0 else 1.0
        return float(stats.t.sf(room / self.error, self.freedom))


def welch(one: Sample, two: Sample) -> Gap:
    """The difference of two independent means whose spreads may differ."""
    gap = one.mean - two.mean
    if min(one.size, two.size) < 2:
        return Gap(gap, math.nan, math.nan, "Welch")
    parts = one.spread**2 / one.size, two.spread**2 / two.size
    total = sum(parts)
    if total == 0:
        return Gap(gap, 0.0, math.inf, "Welch")
    freedom = total**2 / (parts[0] ** 2 / (one.size - 1) + parts[1] ** 2 / (two.size - 1))
    return Gap(gap, math.sqrt(total), freedom, "Welch")


def pooled(one: Sample, two: Sample) -> Gap:
    """The difference of two independent means, with one spread for both, drawn from all scores."""
    gap = one.mean - two.mean
    freedom = one.size + two.size - 2
    if min(one.size, two.size) < 1 or freedom < 1:
        return Gap(gap, math.nan, math.nan, "pooled")
    squares = sum((each.size - 1) * each.spread**2 for each in (one, two) if each.size > 1)
    error = math.sqrt(squares / freedom * (1 / one.size + 1 / two.size))
    return Gap(gap, error, freedom, "pooled")


def independent(one: Sample, two: Sample) -> Gap:
    """The difference of two independent means, whichever test the numbers of scores allow.

    With FEW scores or more on both sides that is Welch's test. With fewer on a side their own
    spread says too little (three scores may lie within 0.01 of each other by chance where fifty
    spread over 0.15), so that the spread of all scores is taken; Welch's interval is taken where
    it is the wider one.
    """
    apart, together = welch(one, two), pooled(one, two)
    if min(one.size, two.size) >= FEW:
        return apart
    low, high = apart.interval()
    wide, narrow = high - low, together.interval().high - together.interval().low
    return apart if wide > narrow else together


def paired(first: Scores, second: Scores) -> Gap:
    """The mean difference of scores that belong together one by one."""
    gaps = sample(first - second)
    return Gap(gaps.mean, gaps.spread / math.sqrt(gaps.size), gaps.size - 1, "paired")


class Contrast(NamedTuple):
    """How two independent sets of scores differ, the first minus the second."""

    difference: float
    interval: Interval  # Welch's
    welch_p: float
    mann_whitney_p: float
    hedges_g: float  # difference in pooled standard deviations, corrected for few scores
    cliffs_delta: float  # -1 .. 1: share of pairs where the first wins, minus where it loses


def contrast(first: Scores, second: Scores) -> Contrast:
    """Welch and Mann-Whitney between two models, with effect sizes. Needs two scores of each."""
    one, two = sample(first), sample(second)
    gap, ranks = welch(one, two), stats.mannwhitneyu(first, second)
    return Contrast(
        difference=gap.difference,
        interval=gap.interval(),
        welch_p=gap.p(),
        mann_whitney_p=float(ranks.pvalue),
        hedges_g=hedges_g(one, two),
        cliffs_delta=float(2 * ranks.statistic / (len(first) * len(second)) - 1),
    )


def hedges_g(one: Sample, two: Sample) -> float:
    """Difference of means in pooled standard deviations. Source: Hedges (1981), eq. 6e."""
    freedom = one.size + two.size - 2
    pooled = (one.size - 1) * one.spread**2 + (two.size - 1) * two.spread**2
    if freedom < 1 or not pooled > 0:
        return math.nan
    return (1 - 3 / (4 * freedom - 1)) * (one.mean - two.mean) / math.sqrt(pooled / freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down rule; NaN stays and counts nothing.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    known = [place for place, p in enumerate(p_values) if not math.isnan(p)]
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, place in enumerate(sorted(known, key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(known) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def correlation(first: Scores, second: Scores) -> float:
    """Pearson's correlation; NaN for fewer than four pairs or where nothing varies."""
    if len(first) < 4 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def correlations(values: NDArray[np.floating], places: ArrayLike) -> Scores:
    """Pearson's correlation of each row of ``values`` (..., n) with ``places`` (n,).

    Values that are NaN are left out of their row; a row without two others, or of equal ones, has
    none: NaN.
    """
    known = ~np.isnan(values)
    x = np.where(known, values, 0.0).astype(np.float64)
    y = np.where(known, np.asarray(places, dtype=np.float64), 0.0)
    counts = np.maximum(known.sum(-1, keepdims=True), 1)
    dx, dy = (np.where(known, v - v.sum(-1, keepdims=True) / counts, 0.0) for v in (x, y))
    spread = np.sqrt((dx**2).sum(-1) * (dy**2).sum(-1))
    highest, lowest = (
        edge(np.where(known, values, worst), axis=-1)
        for edge, worst in ((np.max, -np.inf), (np.min, np.inf))
    )
    varies = (highest > lowest) & (spread > 0)  # exact, while a rounded mean may leave a rest
    return np.where(varies, (dx * dy).sum(-1) / np.where(varies, spread, 1.0), np.nan)


def correlation_interval(r: float, size: int, *, level: float = 0.95) -> Interval:
    """Interval for Pearson's correlation of ``size`` pairs, through Fisher's transformation."""
    if math.isnan(r):
        return Interval(math.nan, math.nan)
    reach = float(stats.norm.isf((1 - level) / 2)) / math.sqrt(size - 3)
    middle = math.atanh(max(-1 + 1e-15, min(1 - 1e-15, r)))
    return Interval(math.tanh(middle - reach), math.tanh(middle + reach))


class Ranking(NamedTuple):
    """Average ranks of models over cells (1 is best), and what the test cannot distinguish."""

    ranks: Mapping[str, float]  # best first
    cells: int
    friedman_p: float
    critical_difference: float  # Nemenyi: average ranks that are further apart differ
    alike: tuple[tuple[str, ...], ...]  # longest runs of models within that distance


def ranking(scores: NDArray[np.float64], models: Sequence[str], *, level: float = 0.95) -> Ranking:
    """Rank models over cells with Friedman's test and Nemenyi's critical difference.

    ``scores`` has shape (cells, models), higher is better, nothing missing; at least three models
    and two cells. Source: Demsar (2006), JMLR 7, sections 3.2.2 and 3.2.4.
    """
    cells, count = scores.shape
    mean_ranks = stats.rankdata(-scores, axis=1).mean(axis=0)
    order = np.argsort(mean_ranks, kind="stable")
    ranks = {models[int(place)]: float(mean_ranks[place]) for place in order}
    spread = math.sqrt(count * (count + 1) / (6 * cells))
    critical = float(stats.studentized_range.ppf(level, count, np.inf)) / math.sqrt(2) * spread
    return Ranking(
        ranks=ranks,
        cells=cells,
        friedman_p=_friedman_p(scores),
        critical_difference=critical,
        alike=_alike(ranks, critical),
    )


def _friedman_p(scores: NDArray[np.float64]) -> float:
    """Friedman's p; 1 where all models tie in every cell, which leaves nothing to rank."""
    if np.all(np.ptp(scores, axis=1) == 0):
        return 1.0
    return float(stats.friedmanchisquare(*scores.T).pvalue)


def _alike(ranks: Mapping[str, float], critical: float) -> tuple[tuple[str, ...], ...]:
    """Every longest run of neighbouring models whose ranks lie within ``critical``."""
    names, groups = list(ranks), []
    reached = 0  # how far the runs so far extend
    for first, name in enumerate(names):
        group = [other for other in names[first:] if ranks[other] - ranks[name] <= critical]
        if len(group) > 1 and first + len(group) > reached:
            groups.append(tuple(group))
            reached = first + len(group)
    return tuple(groups)
