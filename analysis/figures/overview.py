"""Test accuracy of every model at a glance: means with intervals, and box plots of all runs."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import style
from analysis.errors import AnalysisError
from analysis.figures import canvas
from analysis.figures.catalogue import LEFT_OUT

TOP = 3

_SUMMARY = (
    *("model", "dataset", "scenario", "seeds", "failed"),
    *("mean", "mean_low", "mean_high", "collapsed"),
)
_TRIALS = ("model", "dataset", "scenario", "test_accuracy")


def overview(summary: pd.DataFrame) -> Figure:
    """A dot per model with the interval of its mean; the best three of a panel are filled.

    ``summary`` is that of ``summary.summarised``. A row of panels for each scenario that was run
    (the paper has Mid2Rest and All2All) and, as the paper does, neither energy_pool nor conv3d. The
    dotted line is the standard model. Everything is a mean: medians would hide runs that collapsed.
    Source: Altstidl et al. (2023), arXiv:2211.10288, Fig. 4.
    """
    canvas.require_columns(summary, _SUMMARY, what="The overview")
    base = summary["model"].str.partition(" ")[0]
    cells = summary[~base.isin(LEFT_OUT)]
    shown = sorted(set(cells["scenario"]))
    if cells.empty:
        names = " and ".join(style.MODELS[name].name for name in LEFT_OUT)
        raise AnalysisError(
            f"The overview needs a model other than {names}, which it leaves out as the paper "
            "does; there are runs of no other. The box plots show them."
        )
    styles = canvas.model_styles(cells["model"])
    columns = style.ordered(cells["dataset"], style.DATASETS)
    height = len(shown) * (0.19 * len(styles) + 0.65) + 0.4
    with canvas.house_style():
        figure = Figure(figsize=(max(2.5 * len(columns), 3) + 1.3, height), layout="constrained")
        grid = figure.subplots(len(shown), len(columns), squeeze=False, sharey=True)
        for i, scenario in enumerate(shown):
            for j, dataset in enumerate(columns):
                axes = grid[i][j]
                here = cells[(cells["dataset"] == dataset) & (cells["scenario"] == scenario)]
                axes.set_title(f"{canvas.dataset_name(dataset)}, {style.scenario_name(scenario)}")
                _dots(axes, here, styles)
        for axes in grid[-1]:
            axes.set_xlabel("mean test accuracy")
    return figure


def _dots(axes: Axes, cells: pd.DataFrame, styles: dict[str, style.ModelStyle]) -> None:
    places = {model: place for place, model in enumerate(styles)}
    axes.set_yticks(range(len(places)), [look.name for look in styles.values()])
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    if cells.empty:
        canvas.mark_missing(axes)
        return
    best = set(cells.nlargest(TOP, "mean")["model"])
    cells = cells.assign(  # a single run has no interval
        mean_low=cells["mean_low"].fillna(cells["mean"]),
        mean_high=cells["mean_high"].fillna(cells["mean"]),
    )
    middle = (cells["mean_low"].min() + cells["mean_high"].max()) / 2
    for model in set(places) - set(cells["model"]):
        canvas.mark_missing(axes, y=places[model])
    for row in cells.to_dict("records"):
        look, place = styles[row["model"]], places[row["model"]]
        axes.hlines(place, row["mean_low"], row["mean_high"], color=look.colour, linewidth=1.4)
        face = look.colour if row["model"] in best else style.PAPER
        axes.plot(row["mean"], place, "o", color=look.colour, markerfacecolor=face, markersize=5.5)
        counts = [
            *([f"{row['collapsed']} of {row['seeds']} collapsed"] if row["collapsed"] else []),
            *([f"{row['failed']} failed"] if row["failed"] else []),
        ]
        if counts:
            note = f" {', '.join(counts)} "
            left = row["mean"] > middle
            end = row["mean_low"] if left else row["mean_high"]
            side = "right" if left else "left"
            axes.text(end, place, note, ha=side, va="center", fontsize="x-small")
        if row["model"] == "standard":
            axes.axvline(row["mean"], color=look.colour, linestyle=":", linewidth=1, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_title(canvas.counted(cells["seeds"]), loc="right", fontsize="x-small")


def boxes(trials: pd.DataFrame, failed: pd.DataFrame | None = None) -> Figure:
    """A box per model over its runs, a panel per dataset and scenario, no run hidden.

    ``trials`` has the columns ``model``, ``dataset``, ``scenario`` and ``test_accuracy``. The box
    is the middle half with the median, whiskers reach 1.5 times its length, dots lie outside; the
    cross is the mean. ``failed`` trials are counted in their panels.
    Source: Altstidl et al. (2023), arXiv:2211.10288, supplementary figure 1.
    """
    canvas.require_columns(trials, _TRIALS, what="The box plots")
    styles = canvas.model_styles(trials["model"])
    with canvas.house_style():
        figure, panels = canvas.cell_panels(trials)
        for (dataset, scenario), axes in panels.items():
            here = trials[(trials["dataset"] == dataset) & (trials["scenario"] == scenario)]
            _boxes(axes, here, styles, canvas.number_of(failed, dataset, scenario))
            axes.set_xlim(-0.7, len(styles) - 0.3)
            names = [look.name for look in styles.values()]
            axes.set_xticks(range(len(styles)), names, rotation=90)
            axes.grid(axis="x", visible=False)
            axes.set_ylim(-0.02, 1.02)
        canvas.label_edges(panels, x="", y="test accuracy")
    return figure


def _boxes(
    axes: Axes, cell: pd.DataFrame, styles: dict[str, style.ModelStyle], failed: int
) -> None:
    if cell.empty:
        canvas.mark_missing(axes)
        return
    for place, (model, look) in enumerate(styles.items()):
        scores = cell.loc[cell["model"] == model, "test_accuracy"].to_numpy()
        if len(scores) == 0:
            continue
        canvas.box(axes, scores, place, look.colour)
    counts = canvas.counted(cell.groupby("model").size(), failed=failed)
    axes.set_title(counts, loc="right", fontsize="small")
