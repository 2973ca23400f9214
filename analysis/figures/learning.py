"""Validation accuracy over the epochs of training."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import style
from analysis.figures import canvas
from analysis.results.summary import by_epoch

_COLUMNS = ("point_id", "model", "dataset", "scenario", "epoch", "valid_accuracy")
_WHAT = "epochs"
_WHY = "the published results hold none"


def learning_curves(epochs: pd.DataFrame, failed: pd.DataFrame | None = None) -> Figure:
    """A line per model, the mean over the seeds that still train, a panel per cell.

    ``epochs`` has one row per trial and epoch, with the columns ``point_id``, ``model``,
    ``dataset``, ``scenario``, ``epoch`` and ``valid_accuracy``; one without an epoch stands for a
    trial whose epochs are not known, and is counted in the panel. A line ends, with its marker,
    where half of the seeds have stopped: a mean over the slowest ones only would mislead.
    ``failed`` trials are counted in their panels.
    """
    canvas.require_columns(epochs, _COLUMNS, what="The figure of learning curves")
    known = canvas.known_rows(epochs, "epoch", what=_WHAT, why=_WHY)
    styles = canvas.model_styles(known["model"])
    with canvas.house_style():
        figure, panels = canvas.cell_panels(epochs, entries=len(styles))
        cells = dict(list(epochs.groupby(["dataset", "scenario"])))
        for key, axes in panels.items():
            if key in cells:
                _draw(axes, cells[key], styles, canvas.number_of(failed, *key))
            else:
                canvas.mark_missing(axes)
        canvas.label_edges(panels, x="epoch", y="validation accuracy")
        canvas.add_legend(figure, canvas.model_handles(styles))
    return figure


def _draw(axes: Axes, cell: pd.DataFrame, styles: dict[str, style.ModelStyle], failed: int) -> None:
    canvas.note_unknown(axes, cell, "epoch", what=_WHAT)
    found = by_epoch(cell)
    for model, curve in found.groupby("model"):
        look = styles[str(model)]
        axes.plot(
            curve["epoch"],
            curve["mean"],
            color=look.colour,
            linestyle=look.dash,
            marker=look.marker,
            markevery=[len(curve) - 1],
        )
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if len(found):
        counts = canvas.counted(found["seeds"].tolist(), failed=failed)
        axes.set_title(counts, loc="right", fontsize="small")
