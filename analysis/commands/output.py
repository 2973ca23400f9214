"""What commands print: messages, and a table on the terminal."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis.text import terminal, visible
from stir.terminal import counted

if TYPE_CHECKING:
    import pyarrow as pa

LEFT_OUT = 1  # exit status: done, but something was damaged, is named, and is not in the tables
BAD_INPUT = 2
STRAYS_NAMED = 10
MOST_ROWS = 1_000  # of a table on the terminal; laying out more takes longer than the query
INTERRUPTED = 130  # what a shell gives for a command that Ctrl-C ended


def message(sentence: str) -> None:
    """A sentence on stderr."""
    print(terminal(f"stir-analysis: {sentence}"), file=sys.stderr)


def result(line: str) -> None:
    """A line on stdout."""
    print(terminal(line))


def strays(names: Sequence[str]) -> None:
    """Name the files in a storage that are no objects of it, at most STRAYS_NAMED of them."""
    for name in names[:STRAYS_NAMED]:
        print(terminal(f"note: {name} is no object of a storage"), file=sys.stderr)
    if more := len(names[STRAYS_NAMED:]):
        print(f"note: nor are {counted(more, 'more file')}", file=sys.stderr)


def left_out(sentences: Sequence[str]) -> int:
    """Name what is not in the tables; the exit status."""
    for sentence in sentences:
        print(terminal(f"left out: {sentence}"), file=sys.stderr)
    return LEFT_OUT if sentences else 0


def skipped(why_not: Mapping[str, str], *, asked: Sequence[str], made: int) -> int:
    """Name what could not be made; the exit status.

    That is an error for what was asked for by name, and where nothing at all could be made.
    """
    for name, why in why_not.items():
        message(f"no {name}: {why}")
    by_name = "all" not in asked
    return BAD_INPUT if why_not and (by_name or not made) else 0


def print_table(answer: "pa.Table") -> None:
    """The first MOST_ROWS of a table on the terminal; missing values are dashes."""
    import pyarrow as pa
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from analysis.results.answers import rows_of

    table = Table(box=None, header_style="bold")
    for column in answer.schema:
        right = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        table.add_column(
            Text(visible(column.name)), justify="right" if right else "left", overflow="fold"
        )
    for row in rows_of(answer.slice(0, MOST_ROWS)):
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    console.print(table, markup=False, highlight=False)
    if more := max(0, answer.num_rows - MOST_ROWS):
        result(f"... and {counted(more, 'more row')}; --format csv, json or parquet has them all")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else visible(str(value))
