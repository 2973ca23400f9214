"""Test accuracy against object scale: where a model still works at scales it never saw."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis import style
from analysis.figures import canvas
from analysis.results.summary import by_scale
from stir.scenarios import SCALES, SCENARIOS

_COLUMNS = ("model", "dataset", "scenario", "scale", "accuracy")
_WHAT = "accuracies by scale"
_WHY = "published ones get them from import-mlflow --by-scale"
_MARK_EVERY = 6  # scales
_INK = 0.6  # of all bands of a panel together, so that those of eleven models do not hide the lines
_TRAINED = {"color": style.SHADE, "linewidth": 0, "zorder": 0}


def generalization(scales: pd.DataFrame, failed: pd.DataFrame | None = None) -> Figure:
    """A panel per dataset and scenario, a line per model, a band over its seeds.

    ``scales`` has one row per trial and object scale, with the columns ``model``, ``dataset``,
    ``scenario``, ``scale`` (pixels) and ``accuracy`` (0..1); one without a scale stands for a trial
    whose accuracies by scale are not known, and is counted in the panel. The line is the mean over
    seeds, the band one standard deviation to either side, cut to 0..1; a single seed has no band.
    Grey marks the scales trained on. ``failed`` trials are counted in their panels.
    Source: Altstidl et al. (2023), arXiv:2211.10288, Fig. 5.
    """
    canvas.require_columns(scales, _COLUMNS, what="The generalization figure")
    known = canvas.known_rows(scales, "scale", what=_WHAT, why=_WHY)
    styles = canvas.model_styles(known["model"])
    with canvas.house_style():
        figure, panels = canvas.cell_panels(scales, entries=len(styles) + 1)
        cells = dict(list(scales.groupby(["dataset", "scenario"])))
        for (dataset, scenario), axes in panels.items():
            if scenario in SCENARIOS:
                trained = SCENARIOS[scenario].train_scales
                axes.axvspan(trained[0] - 0.5, trained[-1] + 0.5, **_TRAINED)
            if (dataset, scenario) in cells:
                missing = canvas.number_of(failed, dataset, scenario)
                _draw(axes, cells[dataset, scenario], styles, missing)
            else:
                canvas.mark_missing(axes)
        canvas.label_edges(panels, x="object scale [px]", y="test accuracy")
        canvas.add_legend(
            figure, [*canvas.model_handles(styles), Patch(label="trained on", **_TRAINED)]
        )
    return figure


def _draw(axes: Axes, cell: pd.DataFrame, styles: dict[str, style.ModelStyle], failed: int) -> None:
    canvas.note_unknown(axes, cell, "scale", what=_WHAT)
    found = by_scale(cell)
    places = {model: place for place, model in enumerate(styles)}
    shade = min(0.15, _INK / max(1, found["model"].nunique()))
    for model, curve in found.groupby("model"):
        look = styles[str(model)]
        axes.plot(
            curve["scale"],
            curve["mean"],
            color=look.colour,
            linestyle=look.dash,
            marker=look.marker,
            markevery=(places[str(model)] % _MARK_EVERY, _MARK_EVERY),
        )
        axes.fill_between(
            curve["scale"], curve["low"], curve["high"], color=look.colour, alpha=shade, linewidth=0
        )
    axes.set(xlim=(SCALES[0] - 0.5, SCALES[-1] + 0.5), ylim=(0, 1.02))
    axes.set_xticks([17, 33, 48, 64])
    if len(found):
        counts = canvas.counted(found["seeds"].tolist(), failed=failed)
        axes.set_title(counts, loc="right", fontsize="small")
