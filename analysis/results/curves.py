"""Curves of cells: accuracy over object scales and over epochs, as means over seeds."""

import pandas as pd

from analysis.results.cells import CELL


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
