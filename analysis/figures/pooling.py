"""Which kernel size the pooling over scales chooses for an object of which size."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis import stats, style
from analysis.figures import canvas

_COLUMNS = ("channel", "scale", "mean_kernel_size")
_CORRELATIONS = ("point_id", "model", "dataset", "scenario", "stage", "r", "objects", "constant")
_ACROSS = 8  # panels in a row
_MAPS_ACROSS = 16


def pooling_scale(scales: pd.DataFrame, *, title: str, colour: str) -> Figure:
    """A panel per channel, sorted by r: chosen kernel size against object scale, one object.

    ``scales`` has one row per channel and object scale, of one trial, stage and object, with the
    columns ``channel``, ``scale`` (pixels) and ``mean_kernel_size`` (pixels, mean over the object's
    box). r is Pearson's; a channel that always chooses the same size has none. ``title`` says
    which trial, stage and object.
    Source: Altstidl et al. (2023), arXiv:2211.10288, Fig. 7.
    """
    canvas.require_columns(scales, _COLUMNS, what="The pooling figure")
    channels = {
        channel: rows.sort_values("scale")[["scale", "mean_kernel_size"]].to_numpy(dtype=float).T
        for channel, rows in scales.groupby("channel")
    }
    found = {
        channel: float(stats.correlations(sizes, places))
        for channel, (places, sizes) in channels.items()
    }
    order = sorted(found, key=lambda channel: (math.isnan(found[channel]), -found[channel]))
    across = min(_ACROSS, len(order))
    down = math.ceil(len(order) / across)
    with canvas.house_style():
        figure = Figure(figsize=(1.25 * across + 0.5, 1.25 * down + 0.5), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes in grid.flat[len(order) :]:
            axes.axis("off")
        for axes, channel in zip(grid.flat, order, strict=False):
            axes.plot(*channels[channel], ".", color=colour)
            r = found[channel]
            follows = "constant" if math.isnan(r) else f"r = {r:.2f}"
            axes.set_title(f"{channel}: {follows}", fontsize="small")
        figure.suptitle(canvas.drawable(title), fontsize="small")
        figure.supxlabel("object scale [px]")
        figure.supylabel("chosen kernel size [px]")
    return figure


def correlation(correlations: pd.DataFrame) -> Figure:
    """A box per model and stage over the channels of all its trials: does size follow size?

    ``correlations`` has one row per trial, stage and channel, with the columns ``point_id``,
    ``model``, ``dataset``, ``scenario``, ``stage``, ``r`` (Pearson's, of chosen kernel size and
    object scale, mean over objects), ``objects`` and ``constant`` (those without an r).
    """
    canvas.require_columns(correlations, _CORRELATIONS, what="The figure of correlations")
    styles = canvas.model_styles(correlations["model"])
    stages = sorted(set(correlations["stage"]))
    places = list(product(styles, stages))
    names = [f"{styles[model].name}, stage {stage}" for model, stage in places]
    with canvas.house_style():
        figure, panels = canvas.cell_panels(correlations)
        for (dataset, scenario), axes in panels.items():
            cell = correlations[
                (correlations["dataset"] == dataset) & (correlations["scenario"] == scenario)
            ]
            if cell.empty:
                canvas.mark_missing(axes, "not evaluated")
            else:
                _boxes(axes, cell, places, styles)
            axes.set_xticks(range(len(places)), names, rotation=90)
            axes.set(xlim=(-0.7, len(places) - 0.3), ylim=(-1.05, 1.05))
            axes.grid(axis="x", visible=False)
            axes.axhline(0, color=style.FAINT, linewidth=0.8)
        canvas.label_edges(panels, x="", y="r of kernel and object size")
    return figure


def _boxes(
    axes: Axes,
    cell: pd.DataFrame,
    places: Sequence[tuple[str, int]],
    styles: dict[str, style.ModelStyle],
) -> None:
    for place, (model, stage) in enumerate(places):
        channels = cell[(cell["model"] == model) & (cell["stage"] == stage)]
        if channels["r"].notna().any():
            canvas.box(axes, channels["r"].dropna(), place, styles[model].colour)
    constant = cell["constant"].sum() / cell["objects"].sum()
    canvas.note_below(axes, f"{100 * constant:.0f} % of sizes constant")
    counts = cell.groupby("model")["point_id"].nunique()
    axes.set_title(canvas.counted(counts), loc="right", fontsize="small")


def index_maps(sizes: NDArray[np.integer], *, scales: Sequence[int], title: str) -> Figure:
    """The chosen kernel size at every pixel: a column per channel, a row per object scale.

    ``sizes`` has shape (channels, scales, height, width), in pixels; ``scales`` names its second
    axis. Channels that do not fit in a row go on below. ``title`` says which trial, stage and
    object.
    Source: Altstidl et al. (2023), arXiv:2211.10288, supplementary figure 4.
    """
    channels, across = len(sizes), min(_MAPS_ACROSS, len(sizes))
    blocks = math.ceil(channels / across)
    shade = {"vmin": sizes.min(), "vmax": sizes.max(), "cmap": "viridis"}
    with canvas.house_style():
        size = (0.55 * across + 1.4, blocks * (0.55 * len(scales) + 0.25) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(blocks * len(scales), across, squeeze=False)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for channel, (row, scale) in product(range(channels), enumerate(scales)):
            axes = grid[channel // across * len(scales) + row][channel % across]
            axes.imshow(sizes[channel, row], **shade)
            if row == 0:
                axes.set_title(str(channel), fontsize="small", loc="center")
            if channel % across == 0:
                axes.set_ylabel(f"{scale} px", rotation=0, ha="right", va="center")
        figure.suptitle(canvas.drawable(title), fontsize="small")
        figure.colorbar(grid[0][0].images[0], ax=grid, label="kernel size [px]", pad=0.01)
    return figure
