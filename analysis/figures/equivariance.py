"""Equivariance error against accuracy: does a model that follows scale also generalise over it?"""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from analysis.figures import canvas

_COLUMNS = ("point_id", "model", "dataset", "scenario", "test_accuracy", "stage")
_PAIR = ("scale", "other_scale", "error", "defined", "objects")

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

    ``errors`` has one row per trial, stage and scale pair, with the columns ``point_id``,
    ``model``, ``dataset``, ``scenario``, ``test_accuracy``, ``stage``, ``scale``, ``other_scale``
    (pixels), ``error`` (squared norm of the difference over that of the first map, mean over the
    ``defined`` ones of ``objects``). A trial's error is the mean over all objects and the
    scenario's unseen pairs; how many errors are undefined is written in the panel.
    Source: Altstidl et al. (2023), arXiv:2211.10288, Fig. 6 and supplementary figure 3.
    """
    canvas.require_columns(errors, (*_COLUMNS, *_PAIR), what="The equivariance figure")
    here = unseen(errors[errors["stage"] == stage])
    styles = style.model_styles(errors["model"])
    with canvas.house_style():
        figure, panels = canvas.cell_panels(errors, entries=len(styles))
        for (dataset, scenario), axes in panels.items():
            cell = here[(here["dataset"] == dataset) & (here["scenario"] == scenario)]
            if cell["defined"].any():
                _draw(axes, cell, styles)
            else:
                canvas.mark_missing(axes, "no errors" if len(cell) else "not evaluated")
        canvas.label_edges(panels, x="equivariance error, unseen scales", y="test accuracy")
        canvas.add_legend(figure, canvas.model_handles(styles, lines=False))
    return figure


def unseen(errors: pd.DataFrame) -> pd.DataFrame:
    """The rows whose pair of scales is among ``UNSEEN`` of their scenario."""
    pairs = [(scenario, *pair) for scenario, found in UNSEEN.items() for pair in found]
    wanted = pd.DataFrame(pairs, columns=["scenario", "scale", "other_scale"])
    return errors.merge(wanted, on=["scenario", "scale", "other_scale"])


def by_trial(errors: pd.DataFrame) -> pd.DataFrame:
    """Each trial's mean error over all its objects and pairs, NaN where none is defined."""
    sums = errors.assign(error=errors["error"].fillna(0.0) * errors["defined"])
    trials = sums.groupby("point_id", observed=True).agg(
        model=("model", "first"),
        accuracy=("test_accuracy", "first"),
        error=("error", "sum"),
        defined=("defined", "sum"),
    )
    return trials.assign(error=trials["error"] / trials["defined"].where(trials["defined"] > 0))


def _draw(axes: Axes, cell: pd.DataFrame, styles: dict[str, style.ModelStyle]) -> None:
    trials = by_trial(cell)
    for model, runs in trials.groupby("model"):
        look = styles[str(model)]
        axes.plot(runs["error"], runs["accuracy"], ".", color=look.colour, alpha=0.45)
        middle = runs[["error", "accuracy"]].mean()
        marker = {"marker": look.marker, "markersize": 8, "markeredgecolor": style.INK}
        axes.plot(middle["error"], middle["accuracy"], color=look.colour, **marker)
    undefined = int((cell["objects"] - cell["defined"]).sum())
    if undefined:
        words = f"{undefined} of {cell['objects'].sum()} errors undefined"
        axes.text(0.98, 0.02, words, transform=axes.transAxes, ha="right", fontsize="x-small")
    counts = trials.groupby("model").size()
    axes.set_title(canvas.counted(counts), loc="right", fontsize="small")
