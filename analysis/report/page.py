"""The parts of the report page: drawings and tables as HTML; pure."""

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, NamedTuple

import pandas as pd

from analysis import style

_INKS = {
    style.PAPER: "--page",
    style.INK: "--ink",
    style.FAINT: "--faint",
    style.SHADE: "--shade",
}
_PHONE = 480  # points; a wider drawing is not shrunk to a phone's width but scrolled

Show = Callable[[Any], str]  # a value as HTML


class Column(NamedTuple):
    """A column of a table: its heading, how a value reads, whether it is a number."""

    title: str
    show: Show
    number: bool = False


def table(frame: pd.DataFrame, columns: Mapping[str, Column]) -> str:
    """A table that the page's script can sort and filter; missing values are dashes."""
    kinds = [" class=number" if column.number else "" for column in columns.values()]
    titles = zip(kinds, columns.values(), strict=True)
    head = "".join(f"<th{kind}>{escape(column.title)}</th>" for kind, column in titles)
    rows: list[str] = []
    for values in frame[list(columns)].itertuples(index=False, name=None):
        cells = zip(kinds, values, columns.values(), strict=True)
        row = "".join(f"<td{kind}>{_shown(value, column)}</td>" for kind, value, column in cells)
        rows.append(f"<tr>{row}</tr>")
    return (
        f'<div class="scroll"><table class="data"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _shown(value: Any, column: Column) -> str:
    return "&ndash;" if value is None or pd.isna(value) else column.show(value)


def drawing(name: str, *, title: str, caption: str, svg: str, command: str) -> str:
    """A figure with its caption and the command that draws it."""
    width = re.search(r'width="([\d.]+)pt"', svg)
    wide = " wide" if width and float(width[1]) > _PHONE else ""
    return (
        f'<figure id="figure-{name}"><h3>{escape(title)}</h3>'
        f'<div class="scroll{wide}">{inline(svg, name, label=title)}</div>'
        f"<figcaption>{escape(caption)}<br><code>{escape(command)}</code></figcaption></figure>"
    )


def inline(svg: str, name: str, *, label: str) -> str:
    """A drawing fit to stand in a page: ids of its own, colours that follow the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in _INKS.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


def models(styles: Mapping[str, style.ModelStyle]) -> Show:
    """A model's printed name behind a dot of its colour."""

    def show(value: Any) -> str:
        look = styles[value]
        return f'<i class="dot" style="background:{look.colour}"></i>{escape(look.name)}'

    return show


def text(value: Any) -> str:
    return escape(str(value))


def dataset(value: Any) -> str:
    return escape(style.dataset_name(value))


def scenario(value: Any) -> str:
    return escape(style.scenario_name(value))


def whole(value: Any) -> str:
    return f"{value:.0f}"


def short(value: Any) -> str:
    return f"{value:.3g}"


def percent(value: Any) -> str:
    return f"{100 * value:.1f}"


def points(value: Any) -> str:
    """A difference of accuracies in percentage points."""
    return f"{100 * value:+.1f}"


def time(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def counted(count: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "trial"), counted(5500, "trial")
    ('1 trial', '5,500 trials')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
