"""Tables for a terminal: what is the same in all rows is said once, what is 0 in all not at all."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tune_jobs.records.text import visible

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 110  # characters, where there is no terminal


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column and what stands below it.

    A ``fact`` that is the same in all rows goes into the title; a ``count`` that is 0 in all rows
    is left out; a ``name`` is always shown.
    """

    head: str
    cells: Sequence[str]
    kind: Literal["name", "fact", "count"]
    total: str = ""

    @property
    def is_shown(self) -> bool:
        if self.kind == "name":
            return True
        if self.kind == "fact":
            return len(set(self.cells)) > 1
        return any(cell not in ("", "0") for cell in self.cells)


def show_table(
    title: str, columns: Sequence[Column], *, sections: Collection[int] = (), total: bool = False
) -> None:
    """Print a table on standard output; a line stands above each row of ``sections``.

    Names are never cut, however narrow the terminal: they go on in the next line.
    """
    from rich.console import Console

    console = Console(markup=False, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, width=WIDTH)
    console.print(", ".join([title, *_same(columns)]), style="bold", soft_wrap=True)
    console.print(_table([replace(c, cells=[*c.cells]) for c in columns], sections, total))


def interpolations(used: Sequence[str | None]) -> list[str]:
    """What a column says of them: models that do not enlarge kernels do not differ by that."""
    known = sorted({each for each in used if each})
    return [each or ("-" if len(known) > 1 else "".join(known)) for each in used]


def _same(columns: Iterable[Column]) -> Iterator[str]:
    """What all rows have in common."""
    for column in columns:
        if column.kind == "fact" and not column.is_shown and column.cells and column.cells[0]:
            several = not column.cells[0].isdigit() and column.head == "scenario"
            yield visible(f"{column.head}{'s' * several} {column.cells[0]}")


def _table(columns: Sequence[Column], sections: Collection[int], total: bool) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    table = Table(
        box=box.ASCII_DOUBLE_HEAD if ascii_only else box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    shown = [column for column in columns if column.is_shown]
    for column in shown:
        right = column.kind == "count" or column.head in ("scenario", "kernel", "lr")
        table.add_column(
            column.head, justify="right" if right else "left", overflow="fold", no_wrap=False
        )
    for number, row in enumerate(zip(*(column.cells for column in shown), strict=True)):
        if number in sections and number:
            table.add_section()
        table.add_row(*(Text(visible(cell)) for cell in row))
    if total:
        table.add_section()
        table.add_row(*(Text(column.total) for column in shown))
    return table
