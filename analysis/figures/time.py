"""Seconds of training per epoch, by model and dataset."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from analysis import style
from analysis.figures import canvas

_COLUMNS = ("model", "dataset", "scenario", "train_seconds")
_WHAT = "seconds of training"
_WHY = "their records hold whole epochs, with validation, which is another quantity"


def epoch_time(trials: pd.DataFrame, failed: pd.DataFrame | None = None) -> Figure:
    """A mark per model: the mean over runs and epochs, on a logarithmic axis, with the number.

    ``trials`` has the columns ``model``, ``dataset``, ``scenario`` and ``train_seconds`` (in
    training batches, mean over epochs). A row of panels for each scenario that was timed. Runs on
    different machines are not distinguished; those without seconds of training, and the ``failed``
    ones, are counted.
    Source: Altstidl et al. (2023), arXiv:2211.10288, Table 2 (Mid2Rest alone, the last epoch only).
    """
    canvas.require_columns(trials, _COLUMNS, what="The figure of times")
    known = canvas.known_rows(trials, "train_seconds", what=_WHAT, why=_WHY)
    shown = sorted(set(known["scenario"]))
    styles = canvas.model_styles(known["model"])
    columns = style.ordered(known["dataset"], style.DATASETS)
    size = (max(2.5 * len(columns), 3) + 1.3, len(shown) * (0.19 * len(styles) + 0.65) + 0.4)
    with canvas.house_style():
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(shown), len(columns), squeeze=False, sharey=True)
        for axes, (scenario, dataset) in zip(grid.flat, product(shown, columns), strict=True):
            cell = trials[(trials["dataset"] == dataset) & (trials["scenario"] == scenario)]
            axes.set_title(f"{canvas.dataset_name(dataset)}, {style.scenario_name(scenario)}")
            _marks(axes, cell, styles, canvas.number_of(failed, dataset, scenario))
        for axes in grid[-1]:
            axes.set_xlabel("seconds of training per epoch")
    return figure


def _marks(
    axes: Axes, cell: pd.DataFrame, styles: Mapping[str, style.ModelStyle], failed: int
) -> None:
    places = range(len(styles))
    axes.set_yticks(places, [look.name for look in styles.values()])
    axes.set_ylim(len(styles) - 0.5, -0.5)
    by_model = cell[cell["train_seconds"].notna()].groupby("model")["train_seconds"]
    seconds, counts = by_model.mean().reindex(list(styles)), by_model.size()
    if counts.empty:
        canvas.mark_missing(axes, "no times")
        return
    for place, look, value in zip(places, styles.values(), seconds, strict=True):
        if np.isnan(value):
            canvas.mark_missing(axes, y=place)
            continue
        axes.plot(value, place, look.marker, color=look.colour, markersize=6)
        axes.text(value, place, f"   {value:.3g} s", va="center", fontsize="x-small")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=8))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25)
    axes.set_title(canvas.counted(counts, failed=failed), loc="right", fontsize="x-small")
    canvas.note_unknown(axes, cell, "train_seconds", what=_WHAT)
