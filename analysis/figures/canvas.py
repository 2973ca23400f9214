"""Parts that the figures share: a grid of panels, the legend of models, and saving."""

import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import matplotlib
import pandas as pd
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from analysis import style
from analysis.errors import AnalysisError
from analysis.text import visible
from tune_jobs.storage import Storage

PANEL = (2.9, 2.1)  # inches, one panel of a grid
LEGEND_COLUMN = 1.6  # inches
_FONT = "DejaVu Sans"  # comes with matplotlib
_METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}


def require_columns(frame: pd.DataFrame, names: Iterable[str], *, what: str) -> None:
    """Raise AnalysisError unless ``frame`` has the columns and at least one row."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise AnalysisError(
            f"{what} needs the columns {', '.join(names)}; missing: {', '.join(missing)}."
        )
    if frame.empty:
        raise AnalysisError(f"{what} needs at least one finished trial; there is none.")


def known_rows(frame: pd.DataFrame, column: str, *, what: str, why: str) -> pd.DataFrame:
    """The rows with a value in ``column``; AnalysisError, with the reason, if there are none.

    A row without one stands for a trial that has no rows of its own.
    """
    known = frame[frame[column].notna()]
    if known.empty:
        raise AnalysisError(f"None of {counted([len(frame)], noun='trial')} has {what}: {why}.")
    return known


def note_unknown(axes: Axes, cell: pd.DataFrame, column: str, *, what: str) -> None:
    """Write into a cell's panel of how many trials nothing is drawn; see ``known_rows``."""
    if unknown := int(cell[column].isna().sum()):
        note_below(axes, f"{counted([unknown], noun='run')} without {what}")


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's own defaults and ``style.RC``, whatever the user's settings are."""
    defaults = {
        name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"
    }
    with matplotlib.rc_context(defaults | dict(style.RC)):  # pyright: ignore[reportArgumentType]
        yield


def drawable(text: str) -> str:
    r"""Text with a code for each character that the figures' font does not have.

    >>> drawable("Größe \u6f22")
    'Größe \\u6f22'
    """
    return "".join(
        sign if _has_glyph(sign) else sign.encode("unicode_escape").decode()
        for sign in visible(text)
    )


@cache
def _has_glyph(sign: str) -> bool:
    font = font_manager.get_font(font_manager.findfont(_FONT))
    return font.get_char_index(ord(sign)) != 0


def model_styles(labels: Iterable[str]) -> dict[str, style.ModelStyle]:
    """``style.model_styles`` with names that can be drawn."""
    styles = style.model_styles(labels)
    return {label: replace(look, name=drawable(look.name)) for label, look in styles.items()}


def dataset_name(dataset: str) -> str:
    """``style.dataset_name``, drawable."""
    return drawable(style.dataset_name(dataset))


Panels = dict[tuple[str, int], Axes]  # by dataset and scenario


def cell_panels(frame: pd.DataFrame, *, entries: int = 0) -> tuple[Figure, Panels]:
    """A panel per dataset (rows) and scenario (columns), room below for a legend's entries."""
    rows = style.ordered(frame["dataset"], style.DATASETS)
    columns = sorted(set(frame["scenario"]))
    width = max(PANEL[0] * len(columns), 5.2) + 0.4
    legend_rows = math.ceil(entries / (width // LEGEND_COLUMN))
    height = max(PANEL[1] * len(rows), 2.6) + 0.4 + 0.2 * legend_rows
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    panels: Panels = {}
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            panels[row, column] = grid[i][j]
            grid[i][j].set_title(f"{dataset_name(row)}, {style.scenario_name(column)}")
    return figure, panels


def label_edges(panels: Panels, *, x: str, y: str) -> None:
    """Name the axes along the left and the bottom of a grid of panels."""
    last_row, first_column = list(panels)[-1][0], next(iter(panels))[1]
    for (row, column), axes in panels.items():
        if row == last_row:
            axes.set_xlabel(x)
        if column == first_column:
            axes.set_ylabel(y)


def model_handles(styles: dict[str, style.ModelStyle], *, lines: bool = True) -> list[Artist]:
    """One legend entry per model: its line (if the figure has any), marker and printed name."""
    return [
        Line2D(
            [],
            [],
            color=look.colour,
            marker=look.marker,
            linestyle=look.dash if lines else "",
            label=look.name,
        )
        for look in styles.values()
    ]


def add_legend(figure: Figure, handles: list[Artist]) -> None:
    """A legend below the panels, as many columns as the width allows."""
    columns = max(1, int(figure.get_figwidth() // LEGEND_COLUMN))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def counted(counts: Iterable[int], *, noun: str = "seed", failed: int = 0) -> str:
    """A sample size for a heading, and how many failed and are not in it.

    >>> counted([50, 50]), counted([2, 50]), counted([1], failed=2)
    ('50 seeds', '2 to 50 seeds', '1 seed, 2 failed')
    """
    low, high = min(counts := list(counts)), max(counts)
    missing = f", {failed} failed" if failed else ""
    if low == high:
        return f"{low} {noun}{'' if low == 1 else 's'}{missing}"
    return f"{low} to {high} {noun}s{missing}"


def number_of(failed: pd.DataFrame | None, dataset: str, scenario: int) -> int:
    """How many of the failed trials belong to a panel."""
    if failed is None:
        return 0
    return int(((failed["dataset"] == dataset) & (failed["scenario"] == scenario)).sum())


def box(axes: Axes, values: ArrayLike, place: float, colour: str) -> None:
    """The middle half with the median, whiskers of 1.5 times its length, dots outside, a cross at
    the mean.
    """
    line = {"color": colour, "linewidth": 1}
    axes.boxplot(
        [values],
        positions=[place],
        widths=0.65,
        showmeans=True,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops=line | {"linewidth": 2},
        meanprops={"marker": "x", "markeredgecolor": style.INK, "markersize": 3.5},
        flierprops={"marker": ".", "markeredgecolor": colour, "markersize": 3},
    )


def mark_missing(axes: Axes, text: str = "no runs", *, y: float | None = None) -> None:
    """Write into an empty panel, or in its row at ``y``, that nothing was measured there."""
    across = axes.transAxes if y is None else axes.get_yaxis_transform()
    place = (0.5, 0.5 if y is None else y)
    axes.text(*place, text, transform=across, ha="center", va="center", color=style.FAINT)


def note_below(axes: Axes, text: str) -> None:
    """Write a note in small letters in the lower right corner of a panel."""
    axes.text(0.98, 0.02, text, transform=axes.transAxes, ha="right", fontsize="x-small")


def to_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a file's contents; ``kind`` is svg, pdf or png."""
    buffer = io.BytesIO()
    with house_style():
        figure.savefig(buffer, format=kind, dpi=160, metadata=_METADATA[kind])
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """The figure as a drawing without a background, to stand in a page."""
    buffer = io.BytesIO()
    with house_style():
        figure.savefig(buffer, format="svg", transparent=True, metadata=_METADATA["svg"])
    return buffer.getvalue().decode()


def save(figure: Figure, out: Storage, name: str) -> list[str]:
    """Store figures/NAME.svg, .pdf and .png, each whole or not at all; the keys are returned."""
    keys = [f"figures/{name}.{kind}" for kind in _METADATA]
    for key, kind in zip(keys, _METADATA, strict=True):
        out.write(key, to_bytes(figure, kind))
    return keys
