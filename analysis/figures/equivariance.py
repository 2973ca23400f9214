"""Equivariance error against accuracy: does a model that follows scale also generalise over it?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from analysis.figures import canvas
from stir.scenarios import SCALES, SCENARIOS

_TRAINED_ON_ALL = {name for name, one in SCENARIOS.items() if one.train_scales == tuple(SCALES)}
_COLUMNS = ("model", "dataset", "scenario", "test_accuracy", "error", "undefined", "objects")


def equivariance(errors: pd.DataFrame, failed: pd.DataFrame | None = None) -> Figure:
    """A dot per trial, a marker at each model's mean, a panel per dataset and scenario.

    ``errors`` has one row per trial, with the columns ``model``, ``dataset``, ``scenario``,
    ``test_accuracy``, ``error`` (mean over the objects that have one), ``objects`` and how many of
    them are ``undefined``, which is written in the panel, as is how many trials ``failed``.
    Source: Altstidl et al. (2023), arXiv:2211.10288, Fig. 6 and supplementary figure 3.
    """
    canvas.require_columns(errors, _COLUMNS, what="The equivariance figure")
    styles = canvas.model_styles(errors["model"])
    with canvas.house_style():
        figure, panels = canvas.cell_panels(errors, entries=len(styles))
        for (dataset, scenario), axes in panels.items():
            cell = errors[(errors["dataset"] == dataset) & (errors["scenario"] == scenario)]
            if cell["error"].notna().any():
                _draw(axes, cell, styles, canvas.number_of(failed, dataset, scenario))
            else:
                canvas.mark_missing(axes, "no errors" if len(cell) else "not evaluated")
        canvas.label_edges(panels, x="equivariance error", y="test accuracy")
        for (_, scenario), axes in panels.items():
            if axes.get_xlabel():
                scales = "all scales" if scenario in _TRAINED_ON_ALL else "unseen scales"
                axes.set_xlabel(f"equivariance error, {scales}")
        canvas.add_legend(figure, canvas.model_handles(styles, lines=False))
    return figure


def _draw(axes: Axes, cell: pd.DataFrame, styles: dict[str, style.ModelStyle], failed: int) -> None:
    for model, runs in cell.dropna(subset="error").groupby("model"):
        look = styles[str(model)]
        axes.plot(runs["error"], runs["test_accuracy"], ".", color=look.colour, alpha=0.45)
        marker = {"marker": look.marker, "markersize": 8, "markeredgecolor": style.INK}
        middle = runs[["error", "test_accuracy"]].mean()
        axes.plot(middle["error"], middle["test_accuracy"], color=look.colour, **marker)
    if (cell["error"].dropna() > 0).all():
        axes.set_xscale("log")  # energy_pool's errors are thousands of times the others'
    undefined = int(cell["undefined"].sum())
    if undefined:
        canvas.note_below(axes, f"{undefined} of {int(cell['objects'].sum())} errors undefined")
    counts = canvas.counted(cell.groupby("model").size(), failed=failed)
    axes.set_title(counts, loc="right", fontsize="small")
