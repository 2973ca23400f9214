"""The critical-difference diagram: average ranks, and which models the test cannot distinguish."""

from textwrap import fill

from matplotlib.figure import Figure

from analysis import style
from analysis.figures import canvas
from analysis.stats import Ranking

_ROW = 0.26  # inches
_LINE = 110  # characters


def critical_difference(ranking: Ranking, *, note: str = "") -> Figure:
    """Average ranks on a line, best on the left; a bar joins models that Nemenyi's test does not.

    ``note`` is written below.
    Source: Demsar (2006), "Statistical comparisons of classifiers over multiple data sets", JMLR 7.
    """
    styles = canvas.model_styles(ranking.ranks)
    count = len(ranking.ranks)
    half = (count + 1) // 2
    bars = len(ranking.alike)
    with canvas.house_style():
        height = _ROW * (half + bars + 3.5)
        figure = Figure(figsize=(7.2, height), layout="constrained")
        axes = figure.subplots()
        axes.axis("off")
        axes.set(xlim=(1 - 0.42 * count, count * 1.42), ylim=(half + bars + 1.2, -2.2))
        axes.hlines(0, 1, count, color=style.INK, linewidth=1)
        for tick in range(1, count + 1):
            axes.vlines(tick, -0.15, 0, color=style.INK, linewidth=1)
            axes.text(tick, -0.3, str(tick), ha="center", va="bottom", fontsize="small")
        axes.text(0.6, 0, "average rank, 1 is best", ha="right", va="center")
        for place, (model, rank) in enumerate(ranking.ranks.items()):
            left = place < half
            row = bars + 1 + (place if left else count - 1 - place)
            end = 0.7 if left else count + 0.3
            look = styles[model]
            axes.plot([rank, rank, end], [0, row, row], color=look.colour, linewidth=1.2)
            label = f"{look.name}  {rank:.2f}" if left else f"{rank:.2f}  {look.name}"
            side = "right" if left else "left"
            axes.text(end + (-0.1 if left else 0.1), row, label, ha=side, va="center")
        for row, group in enumerate(ranking.alike, start=1):
            ends = ranking.ranks[group[0]] - 0.05, ranking.ranks[group[-1]] + 0.05
            axes.hlines(row * 0.8, *ends, color=style.INK, linewidth=3.5)
        reach = min(ranking.critical_difference, count - 1)
        axes.hlines(-1.4, 1, 1 + reach, color=style.INK, linewidth=1.5)
        scale = (
            f"critical difference {ranking.critical_difference:.2f}, "
            f"{canvas.counted([ranking.cells], noun='cell')}, Friedman p {ranking.friedman_p:.2g}"
        )
        axes.text(1 + reach + 0.15, -1.4, scale, va="center", fontsize="small")
        if note:
            figure.supxlabel(fill(canvas.drawable(note), _LINE), fontsize="small")
    return figure
