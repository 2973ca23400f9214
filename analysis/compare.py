"""Our runs against the published ones, cell by cell: difference, interval, verdict."""

import math

import pandas as pd

from analysis import published, stats
from analysis.cells import CELL, in_order, reported
from analysis.errors import AnalysisError
from analysis.frames import Frames

MARGIN = 0.03  # a difference of mean accuracies, either way, that nobody would care about
SIGNIFICANCE = 0.05
LEAST = 3  # runs of ours, below which nothing is said
AGREES, DIFFERS, TOO_FEW = "agrees", "differs", "too few runs"
NOTHING_COMPARABLE = (
    "A comparison needs finished runs of ours in a published cell, by the published protocol "
    f"({published.PROTOCOL}); there are none."
)

_COLUMNS = [
    *("dataset", "scenario", "model", "lr", "published_lr", "seeds", "published_seeds"),
    *("mean", "published_mean", "difference", "low", "high", "test", "shared_seeds"),
    *("correlation", "difference_p", "equivalence_p", "verdict"),
]


def compared(frames: Frames, *, margin: float = MARGIN) -> pd.DataFrame:
    """A row per cell that we have and that is published, run by the published protocol.

    ``low`` and ``high`` bound the difference, ours minus published (95 %). The verdict *agrees*
    when the difference is within ``margin`` at 5 % (two one-sided tests), else *differs* when it is
    not zero at 5 % (corrected for the number of cells, Holm), else says *too few runs*.

    Within a cell the same seed means the same initial weights in both. Where the published trials
    are in the tables too and the correlation over the shared seeds is clearly above zero (95 %),
    those are compared in pairs; else all runs are, by Welch's test.
    """
    if margin <= 0:
        raise AnalysisError(f"A margin must be above 0, such as {MARGIN}; got {margin:g}.")
    ours = reported(comparable(frames.all_trials), frames.study_points)
    theirs = frames.all_trials[frames.all_trials["source"] == "published"]
    shipped = published.summary().set_index(CELL)
    table = pd.DataFrame(
        [
            _row(cell, theirs, shipped.loc[[key]].iloc[0], margin)
            for key, cell in in_order(ours).groupby(CELL, sort=False)
            if key in shipped.index
        ],
        columns=_COLUMNS,
    )
    table["difference_p"] = stats.holm(table["difference_p"].tolist())
    judged = zip(table["seeds"], table["equivalence_p"], table["difference_p"], strict=True)
    table["verdict"] = [_verdict(*values) for values in judged]
    return table


def comparable(trials: pd.DataFrame) -> pd.DataFrame:
    """Our trials that were run as the published ones: recipe, kernel size and interpolation."""
    alike = (trials["source"] == "ours") & (trials["kernel_size"] == published.KERNEL_SIZE)
    alike &= trials["interpolation"].fillna(published.INTERPOLATION) == published.INTERPOLATION
    for name, value in published.RECIPE.items():
        alike &= trials[name] == value
    return trials[alike]


def _row(
    cell: pd.DataFrame, published_trials: pd.DataFrame, shipped: pd.Series, margin: float
) -> dict[str, object]:
    model, dataset, scenario = (cell[name].iloc[0] for name in CELL)
    ours = stats.sample(cell["test_accuracy"].to_numpy(dtype=float))
    theirs = stats.Sample(int(shipped["seeds"]), float(shipped["mean"]), float(shipped["spread"]))
    pairs = _pairs(cell, published_trials)
    first, second = (pairs[name].to_numpy(dtype=float) for name in ("ours", "theirs"))
    r = stats.correlation(first, second)
    clear = stats.correlation_interval(r, len(pairs)).low > 0
    gap = stats.paired(first, second) if clear else stats.welch(ours, theirs)
    low, high = gap.interval()
    return {
        "dataset": dataset,
        "scenario": scenario,
        "model": model,
        "lr": cell["lr"].iloc[0],
        "published_lr": shipped["lr"],
        "seeds": ours.size,
        "published_seeds": theirs.size,
        "mean": ours.mean,
        "published_mean": theirs.mean,
        "difference": gap.difference,
        "low": low,
        "high": high,
        "test": "paired" if clear else "Welch",
        "shared_seeds": len(pairs),
        "correlation": r,
        "difference_p": gap.p(),
        "equivalence_p": gap.equivalence_p(margin),
    }


def _pairs(cell: pd.DataFrame, published_trials: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of the seeds that both have, at one learning rate: columns ours and theirs."""
    on = [*CELL, "lr", "seed"]
    both = cell.merge(published_trials, on=on, suffixes=("", "_published"))
    return both[["test_accuracy", "test_accuracy_published"]].set_axis(["ours", "theirs"], axis=1)


def _verdict(seeds: int, equivalence_p: float, difference_p: float) -> str:
    if seeds < LEAST or math.isnan(equivalence_p):
        return TOO_FEW
    if equivalence_p < SIGNIFICANCE:
        return AGREES
    return DIFFERS if difference_p < SIGNIFICANCE else TOO_FEW
