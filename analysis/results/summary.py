"""Statistics of cells: means with intervals, collapsed runs, times, curves; tests of models."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis import stats, style
from analysis.errors import AnalysisError
from analysis.results.cells import CELL, counts_by_cell, in_order

LEAST = 2  # scores of a model that a test needs
LEAST_MODELS, LEAST_CELLS = 3, 2  # that a ranking needs


def summarised(
    trials: pd.DataFrame, failed: pd.DataFrame, *, rng: np.random.Generator
) -> pd.DataFrame:
    """A row per cell of reported trials: accuracies 0..1, times in seconds.

    ``failed`` holds the failed trials of these cells, which are in no mean and counted. The mean
    lies in ``mean_low`` .. ``mean_high`` (95 %, by the method that ``interval`` names, see
    ``stats.mean_interval``), the share of collapsed runs in ``collapsed_low`` ..
    ``collapsed_high`` (95 %, Wilson). ``train_seconds`` is the mean over epochs and seeds of the
    time in training batches, ``last_train_seconds`` that of last epochs, which the paper's Table 2
    shows; ``epoch_seconds`` is all of an epoch, with validation.
    """
    failures = counts_by_cell(failed)
    cells = in_order(trials).groupby(CELL, sort=False)
    return pd.DataFrame([_row(cell, failures.get(key, 0), rng) for key, cell in cells])


def _row(cell: pd.DataFrame, failed: int, rng: np.random.Generator) -> dict[str, object]:
    scores = cell["test_accuracy"].to_numpy(dtype=float)
    known = cell["collapsed"].dropna()
    collapsed = int(known.sum())
    mean, share = (
        stats.mean_interval(scores, rng=rng, bounds=(0, 1)),
        stats.share_interval(collapsed, len(known)),
    )
    return {
        "dataset": cell["dataset"].iloc[0],
        "scenario": cell["scenario"].iloc[0],
        "model": cell["model"].iloc[0],
        "lr": cell["lr"].iloc[0],
        "seeds": len(cell),
        "failed": failed,
        "mean": scores.mean(),
        "mean_low": mean.low,
        "mean_high": mean.high,
        "interval": mean.method,
        "spread": stats.sample(scores).spread,
        "median": np.median(scores),
        "interquartile_mean": stats.interquartile_mean(scores),
        "lowest": scores.min(),
        "highest": scores.max(),
        "valid": cell["best_valid_accuracy"].mean(),
        "collapsed": collapsed,
        "collapsed_low": share.low,
        "collapsed_high": share.high,
        "epochs": cell["epochs"].astype(float).mean(),
        "train_seconds": cell["train_seconds"].astype(float).mean(),
        "last_train_seconds": cell["last_train_seconds"].astype(float).mean(),
        "epoch_seconds": cell["epoch_seconds"].astype(float).mean(),
    }


def by_scale(scales: pd.DataFrame) -> pd.DataFrame:
    """A row per cell and object scale: ``mean`` over seeds, ``low`` and ``high``, ``seeds``.

    ``scales`` has one row per trial and object scale, with the columns of CELL, ``scale`` (pixels)
    and ``accuracy`` (0..1); rows without a scale are left out. ``low`` and ``high`` are one
    standard deviation to either side, cut to 0..1, and missing for a single seed.
    """
    known = scales[scales["scale"].notna()]
    found = known.groupby([*CELL, "scale"], sort=False)["accuracy"].agg(["mean", "std", "size"])
    found = found.reset_index().sort_values([*CELL, "scale"], kind="stable")
    return found.assign(
        scale=found["scale"].astype("int64"),
        low=(found["mean"] - found["std"]).clip(0, 1),
        high=(found["mean"] + found["std"]).clip(0, 1),
    )[[*CELL, "scale", "mean", "low", "high", "size"]].rename(columns={"size": "seeds"})


def by_epoch(epochs: pd.DataFrame) -> pd.DataFrame:
    """A row per cell and epoch: the ``mean`` validation accuracy of the ``training`` seeds.

    ``epochs`` has one row per trial and epoch, with the columns of CELL, ``point_id``, ``epoch``
    and ``valid_accuracy`` (0..1); rows without an epoch are left out. A curve ends where half of a
    cell's ``seeds`` have stopped: a mean over the slowest ones only would mislead.
    """
    known = epochs[epochs["epoch"].notna()]
    seeds = known.groupby(CELL)["point_id"].nunique().rename("seeds").reset_index()
    found = known.groupby([*CELL, "epoch"], sort=False)["valid_accuracy"].agg(["mean", "size"])
    found = found.reset_index().merge(seeds, on=CELL).sort_values([*CELL, "epoch"], kind="stable")
    found = found.assign(epoch=found["epoch"].astype("int64"))
    kept = found[found["size"] > found["seeds"] / 2]
    return kept[[*CELL, "epoch", "mean", "size", "seeds"]].rename(columns={"size": "training"})


def contrasts(trials: pd.DataFrame) -> pd.DataFrame:
    """Every two models of a dataset and scenario against each other, p corrected within it (Holm).

    Models with fewer than two runs in a cell are left out of it. Seeds are not paired: between
    models they have nothing in common.
    """
    rows: list[dict[str, object]] = []
    for (dataset, scenario), cell in in_order(trials).groupby(["dataset", "scenario"], sort=False):
        scores = {
            model: runs["test_accuracy"].to_numpy(dtype=float)
            for model, runs in cell.groupby("model", sort=False)
            if len(runs) >= LEAST
        }
        pairs = list(combinations(scores, 2))
        found = [stats.contrast(scores[one], scores[two]) for one, two in pairs]
        welch = stats.holm([contrast.welch_p for contrast in found])
        ranks = stats.holm([contrast.mann_whitney_p for contrast in found])
        for (one, two), contrast, p, q in zip(pairs, found, welch, ranks, strict=True):
            values = contrast._asdict()
            interval = values.pop("interval")
            rows.append(
                {
                    "dataset": dataset,
                    "scenario": scenario,
                    "model": one,
                    "other_model": two,
                    "seeds": len(scores[one]),
                    "other_seeds": len(scores[two]),
                    "low": interval.low,
                    "high": interval.high,
                    "welch_p_holm": p,
                    "mann_whitney_p_holm": q,
                    **values,
                }
            )
    return pd.DataFrame(rows, columns=_CONTRASTS)


class Ranked(NamedTuple):
    """A ranking, and what is not in it for lack of runs."""

    ranking: stats.Ranking
    left_out: tuple[str, ...]  # models
    dropped: tuple[tuple[str, int], ...]  # datasets and scenarios

    @property
    def note(self) -> str:
        """What is not in it, in a sentence or two; nothing if everything is."""
        names = style.model_styles(self.left_out).values()
        models = ", ".join(look.name for look in names)
        cells = ", ".join(
            f"{style.dataset_name(dataset)} {style.scenario_name(scenario)}"
            for dataset, scenario in self.dropped
        )
        return " ".join(
            [
                *([f"Not ranked, for lack of cells: {models}."] if models else []),
                *([f"Left out, as not all models have runs there: {cells}."] if cells else []),
            ]
        )


def ranked(trials: pd.DataFrame) -> Ranked:
    """Average ranks by mean accuracy over the cells (dataset and scenario) that all models have.

    A model that lacks cells would take these from all others: the models ranked are those that,
    left out one after the other, leave the most means (models times cells) to rank by.
    """
    means = trials.pivot_table(
        index=["dataset", "scenario"], columns="model", values="test_accuracy", aggfunc="mean"
    )
    whole = _most_whole(means)
    if whole.shape[0] < LEAST_CELLS or whole.shape[1] < LEAST_MODELS:
        raise AnalysisError(
            "Ranks need three models or more that share two cells (dataset and scenario) or more; "
            f"{means.shape[1]} models share {len(means.dropna())}."
        )
    models = [str(model) for model in whole.columns]
    return Ranked(
        stats.ranking(whole.to_numpy(dtype=float), models),
        left_out=tuple(str(model) for model in means.columns.difference(whole.columns)),
        dropped=tuple((str(one[0]), int(one[1])) for one in means.index.difference(whole.index)),
    )


def _most_whole(means: pd.DataFrame) -> pd.DataFrame:
    """The largest part of a table without gaps that is found by leaving out column after column."""
    best, left = means.dropna(), means
    while left.shape[1] > LEAST_MODELS:
        smaller = [left.drop(columns=model) for model in left.columns]
        left = max(smaller, key=lambda part: (len(part.dropna()), part.count().sum()))
        whole = left.dropna()
        if whole.size > best.size or len(best) < LEAST_CELLS <= len(whole):
            best = whole
    return best


_CONTRASTS = [
    *("dataset", "scenario", "model", "other_model", "seeds", "other_seeds", "difference"),
    *("low", "high", "welch_p", "welch_p_holm", "mann_whitney_p", "mann_whitney_p_holm"),
    *("hedges_g", "cliffs_delta"),
]
