"""A table for a reader, whatever the medium: its columns, its caption, its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis import style

Show = Callable[[Any], str]  # a value as plain text; the renderers escape it for their medium


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, how a value reads, whether it is a number."""

    title: str
    show: Show = str
    number: bool = False
    of_models: bool = False  # a page puts a dot of the model's colour before the name
    long: bool = False  # a page lets the text run over several lines


@dataclass(frozen=True, slots=True)
class Grid:
    """A table turned so that the datasets lie across: what its rows are, and what a cell says."""

    rows: tuple[str, ...]  # columns of the frame whose values name a row, the model last
    show: Callable[[Mapping[Any, Any]], str]  # a row of the frame as the text of a cell


@dataclass(frozen=True, slots=True)
class Table:
    """A table for a reader.

    ``columns`` names those of ``frame`` that are shown; a file of numbers holds all of them,
    unrounded. Where there is a ``grid``, Markdown and LaTeX show that instead of the columns.
    """

    title: str
    note: str  # full sentences: what the numbers are
    frame: pd.DataFrame
    columns: Mapping[str, Column]
    grid: Grid | None = None
    styles: Mapping[str, style.ModelStyle] = field(default_factory=dict)


MISSING = "-"


def shown(value: Any, column: Column) -> str:
    """A value as its column shows it; a missing one is a dash."""
    return MISSING if value is None or pd.isna(value) else column.show(value)


def model_column(styles: Mapping[str, style.ModelStyle], title: str = "Model") -> Column:
    """The column of models by their printed names."""
    return Column(title, lambda label: styles[label].name, of_models=True)


def number(title: str, show: Show) -> Column:
    return Column(title, show, number=True)


def whole(value: Any) -> str:
    return f"{value:.0f}"


def short(value: Any) -> str:
    return f"{value:.3g}"


def hundredths(value: Any) -> str:
    return f"{value:.2f}"


def percent(value: Any) -> str:
    """A share 0..1 in percent.

    >>> percent(0.5)
    '50.0'
    """
    return f"{100 * value:.1f}"


def points(value: Any) -> str:
    """A difference of accuracies in percentage points."""
    return f"{100 * value:+.1f}"


def signed(value: Any) -> str:
    return f"{value:+.2f}"


def time(value: Any) -> str:
    """A time in UTC, to the minute."""
    return f"{value.tz_convert('UTC'):%Y-%m-%d %H:%M}"
