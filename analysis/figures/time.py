"""Seconds of training per epoch, by model and dataset."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from analysis import style
from analysis.figures import canvas

_COLUMNS = ("model", "dataset", "scenario", "train_seconds")
_WHAT = "seconds of training"
_WHY = "their records hold whole epochs, with validation, which is another quantity"
SHOWN = 2  # Mid2Rest, as in the paper's Table 2; how long an epoch takes depends on the scenario


def epoch_time(trials: pd.DataFrame, failed: pd.DataFrame | None = None) -> Figure:
    """A mark per model: the mean over runs and epochs, on a logarithmic axis, with the number.

    ``trials`` has the columns ``model``, ``dataset``, ``scenario`` and ``train_seconds`` (in
    training batches, mean over epochs). Shows Mid2Rest, or the first scenario that is there. Runs
    on different machines are not distinguished; those without seconds of training, and the
    ``failed`` ones, are counted.
    Source: Altstidl et al. (2023), arXiv:2211.10288, Table 2 (which shows the last epoch only).
    """
    canvas.require_columns(trials, _COLUMNS, what="The figure of times")
    known = canvas.known_rows(trials, "train_seconds", what=_WHAT, why=_WHY)
    scenarios = set(known["scenario"])
    shown = SHOWN if SHOWN in scenarios else min(scenarios)
    runs = known[known["scenario"] == shown]
    styles = canvas.model_styles(runs["model"])
    columns = style.ordered(runs["dataset"], style.DATASETS)
    size = (max(2.1 * len(columns), 3) + 1.3, 0.2 * len(styles) + 1)
    with canvas.house_style():
        figure = Figure(figsize=size, layout="constrained")
        for axes, dataset in zip(
            figure.subplots(1, len(columns), squeeze=False, sharey=True)[0], columns, strict=True
        ):
            cell = runs[runs["dataset"] == dataset].groupby("model")["train_seconds"]
            seconds, counts = cell.mean().reindex(list(styles)), cell.size()
            places = range(len(styles))
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
            axes.set_title(f"{canvas.dataset_name(dataset)}, {style.scenario_name(shown)}")
            missing = canvas.number_of(failed, dataset, shown)
            axes.set_title(canvas.counted(counts, failed=missing), loc="right", fontsize="x-small")
            here = trials[(trials["dataset"] == dataset) & (trials["scenario"] == shown)]
            canvas.note_unknown(axes, here, "train_seconds", what=_WHAT)
            axes.set_xlabel("seconds of training per epoch")
            axes.set_yticks(places, [look.name for look in styles.values()])
            axes.set_ylim(len(styles) - 0.5, -0.5)
    return figure
