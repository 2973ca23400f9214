"""Ours against the published: a difference with its interval per cell."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import style
from analysis.figures import canvas

_COLUMNS = (
    *("dataset", "scenario", "model", "difference", "low", "high"),
    *("seeds", "failed", "test", "verdict"),
)
_MARKERS = {"agrees": "o", "differs": "X", "too few runs": "."}


def comparison(compared: pd.DataFrame, *, margin: float) -> Figure:
    """A row per cell: the difference of mean test accuracy, ours minus published, 95 % interval.

    ``compared`` is the table of ``comparison.compared``. Grey is the margin within which a
    difference does not matter; the marker is the verdict. A row says how many runs of ours it
    compares, how many failed, and by which test.
    """
    canvas.require_columns(compared, _COLUMNS, what="The comparison")
    styles = canvas.model_styles(compared["model"])
    rows = compared.to_dict("records")
    with canvas.house_style():
        figure = Figure(figsize=(7.2, 0.21 * len(rows) + 1.1), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(-100 * margin, 100 * margin, color=style.SHADE, linewidth=0, zorder=0)
        axes.axvline(0, color=style.INK, linewidth=0.8)
        names: list[str] = []
        for place, row in enumerate(rows):
            look = styles[row["model"]]
            low, high = 100 * row["low"], 100 * row["high"]
            axes.hlines(place, low, high, color=look.colour, linewidth=1.4)
            marker = _MARKERS[row["verdict"]]
            axes.plot(100 * row["difference"], place, marker, color=look.colour, markersize=6)
            cell = f"{canvas.dataset_name(row['dataset'])}, {style.scenario_name(row['scenario'])}"
            failed = f", {row['failed']} failed" if row["failed"] else ""
            names.append(f"{cell}, {look.name} (n = {row['seeds']}{failed}, {row['test']})")
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("ours minus published, percentage points of test accuracy")
        handles = [
            Line2D([], [], color=style.INK, marker=marker, linestyle="", label=verdict)
            for verdict, marker in _MARKERS.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure
