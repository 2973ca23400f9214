"""Equivariance error against accuracy: does a model that follows scale also generalise over it?"""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from analysis.figures import canvas

_COLUMNS = ("point_id", "model", "dataset", "scenario", "test_accuracy", "stage")
_PAIR = ("scale", "other_scale", "error")

_SMALL = ((32, 17), (17, 32))
_MIDDLE = ((48, 33), (33, 48))
_LARGE = ((64, 49), (49, 64))
# The scale pairs of which a scenario trains on neither. The paper's supplementary figure took the
# mirror of these for scenarios 1 and 3.
UNSEEN: Mapping[int, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        1: (*_LARGE, *_MIDDLE),
        2: (*_LARGE, *_SMALL),
        3: (*_MIDDLE, *_SMALL),
        4: (*_LARGE, *_MIDDLE, *_SMALL),  # trains on all scales, so none is unseen: all are taken
    }
)


def equivariance(errors: pd.DataFrame, *, stage: int = 2) -> Figure:
    """A dot per trial, a marker at each model's mean, a panel per dataset and scenario.

    ``errors`` has one row per trial, object and scale pair, with the columns ``point_id``,
    ``model``, ``dataset``, ``scenario``, ``test_accuracy``, ``stage``, ``scale``, ``other_scale``
    (pixels) and ``error`` (squared norm of the difference over that of the first map). A trial's
    error is the mean over objects and the scenario's unseen pairs; undefined errors (an empty map)
    are left out of it, and how many there are is written in the panel.
    Source: Altstidl et al. (2023), arXiv:2211.10288, Fig. 6 and supplementary figure 3.
    """
    canvas.require_columns(errors, (*_COLUMNS, *_PAIR), what="The equivariance figure")
    here = unseen(errors[errors["stage"] == stage])
    styles = style.model_styles(errors["model"])
    with canvas.house_style():
        figure, panels = canvas.cell_panels(errors, entries=len(styles))
        for (dataset, scenario), axes in panels.items():
            cell = here[(here["dataset"] == dataset) & (here["scenario"] == scenario)]
            if cell["error"].notna().any():
                _draw(axes, cell, styles)
            else:
                canvas.mark_missing(axes)
        canvas.label_edges(panels, x="equivariance error, unseen scales", y="test accuracy")
        canvas.add_legend(figure, canvas.model_handles(styles))
    return figure


def unseen(errors: pd.DataFrame) -> pd.DataFrame:
    """The rows whose pair of scales is among ``UNSEEN`` of their scenario."""
    pairs = [(scenario, *pair) for scenario, found in UNSEEN.items() for pair in found]
    wanted = pd.DataFrame(pairs, columns=["scenario", "scale", "other_scale"])
    return errors.merge(wanted, on=["scenario", "scale", "other_scale"])


def _draw(axes: Axes, cell: pd.DataFrame, styles: dict[str, style.ModelStyle]) -> None:
    counts: list[int] = []
    for model, rows in cell.groupby("model"):
        look = styles[str(model)]
        trials = rows.groupby("point_id").agg(
            error=("error", "mean"), accuracy=("test_accuracy", "first")
        )
        counts.append(len(trials))
        axes.plot(trials["error"], trials["accuracy"], ".", color=look.colour, alpha=0.45)
        middle = trials.mean()
        marker = {"marker": look.marker, "markersize": 8, "markeredgecolor": style.INK}
        axes.plot(middle["error"], middle["accuracy"], color=look.colour, **marker)
    undefined = int(cell["error"].isna().sum())
    if undefined:
        words = f"{undefined} of {len(cell)} errors undefined"
        axes.text(0.98, 0.02, words, transform=axes.transAxes, ha="right", fontsize="x-small")
    axes.set_title(canvas.counted(counts), loc="right", fontsize="small")
