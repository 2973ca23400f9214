"""A table as HTML, Markdown, LaTeX (booktabs) or CSV."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from analysis import style
from analysis.report.table import MISSING, Column, Grid, Table, shown
from analysis.text import as_html, as_latex, as_markdown

ROWS_OF_A_PAGE = 40
Cells = tuple[tuple[str, ...], ...]


def html(table: Table, *, name: str = "", models: Sequence[str] = ()) -> str:
    """A table that the page's script can sort and filter; the caption stands above it.

    ``name`` is the table's id in the page. Rows say their cell, and the places of their models in
    ``models``, so that the script can show those that were chosen.
    """
    columns = table.columns.values()
    kinds = [_kind(column) for column in columns]
    titles = zip(kinds, columns, strict=True)
    head = "".join(f"<th{kind}>{as_html(column.title)}</th>" for kind, column in titles)
    places = {label: str(place) for place, label in enumerate(models)}
    rows: list[str] = []
    for record in table.frame.to_dict("records"):
        row = ""
        for kind, (key, column) in zip(kinds, table.columns.items(), strict=True):
            text = shown(record[key], column)
            dot = _dot(table.styles[record[key]]) if column.of_models else ""
            row += f"<td{kind}>{dot}{'&ndash;' if text == MISSING else as_html(text)}</td>"
        rows.append(f"<tr{_where(record, places)}>{row}</tr>")
    return (
        f"<p>{as_html(table.note)}</p>"
        f'<div class="scroll" tabindex="0"><table class="data" id="{as_html(name)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _kind(column: Column) -> str:
    return " class=number" if column.number else " class=text" if column.long else ""


def _where(record: Mapping[Any, Any], places: Mapping[str, str]) -> str:
    if not places or "scenario" not in record:
        return ""
    cell = f"{record['dataset']}/{record['scenario']}"
    models = [record[key] for key in ("model", "other_model") if key in record]
    known = " ".join(places[model] for model in models if model in places)
    return f' data-cell="{as_html(cell)}" data-models="{known}"'


def _dot(look: style.ModelStyle) -> str:
    return f'<i class="dot" style="background:{as_html(look.colour)}"></i>'


def markdown(table: Table) -> str:
    head, rows = texts(table)
    lines = ["| " + " | ".join(map(as_markdown, cells)) + " |" for cells in (head, *rows)]
    lines.insert(1, "|" + " --- |" * len(head))
    body = "\n".join(lines)
    return f"**{as_markdown(table.title)}.** {as_markdown(table.note)}\n\n{body}\n"


def latex(table: Table) -> str:
    """A ``tabular`` for the booktabs package, the note as its caption; a long one runs over pages.

    More than ROWS_OF_A_PAGE rows are a ``longtable``, of the package of that name.
    """
    head, rows = texts(table)
    lines = [" & ".join(map(as_latex, cells)) + r" \\" for cells in (head, *rows)]
    if len(rows) > ROWS_OF_A_PAGE:
        return _over_pages(table, len(head), lines)
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join(
        [
            r"\begin{table}",
            rf"  \caption{{{as_latex(table.title)}. {as_latex(table.note)}}}",
            rf"  \begin{{tabular}}{{{'l' * len(head)}}}",
            *(f"    {line}" for line in body),
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _over_pages(table: Table, columns: int, lines: Sequence[str]) -> str:
    """A table of LaTeX's longtable, its head repeated on every page."""
    ends = rf"\multicolumn{{{columns}}}{{r}}{{continued}} \\"
    return "\n".join(
        [
            rf"\begin{{longtable}}{{{'l' * columns}}}",
            rf"  \caption{{{as_latex(table.title)}. {as_latex(table.note)}}} \\",
            *(f"  {line}" for line in (r"\toprule", lines[0], r"\midrule", r"\endfirsthead")),
            *(f"  {line}" for line in (r"\toprule", lines[0], r"\midrule", r"\endhead")),
            *(f"  {line}" for line in (r"\midrule", ends, r"\endfoot", r"\bottomrule")),
            r"  \endlastfoot",
            *(f"  {line}" for line in lines[1:]),
            r"\end{longtable}",
            "",
        ]
    )


def csv(table: Table) -> str:
    """The numbers behind the table, unrounded, accuracies 0..1."""
    return table.frame.to_csv(index=False)


FORMATS: Mapping[str, Callable[[Table], str]] = MappingProxyType(
    {"md": markdown, "tex": latex, "csv": csv}
)


def texts(table: Table) -> tuple[tuple[str, ...], Cells]:
    """The head and the rows of a table as plain text, turned where it has a grid."""
    if table.grid:
        return _turned(table, table.grid)
    rows = table.frame[list(table.columns)].itertuples(index=False, name=None)
    columns = table.columns.values()
    return tuple(column.title for column in columns), tuple(
        tuple(shown(value, column) for value, column in zip(values, columns, strict=True))
        for values in rows
    )


def _turned(table: Table, grid: Grid) -> tuple[tuple[str, ...], Cells]:
    """Head and rows with a column per dataset; a cell without runs is a dash."""
    cells, rows = table.frame, list(grid.rows)
    datasets = style.ordered(cells["dataset"], style.DATASETS)
    found = {
        (*(row[name] for name in rows), row["dataset"]): grid.show(row)
        for row in cells.to_dict("records")
    }
    order = cells.assign(place=cells["model"].map(list(table.styles).index))
    keys = order.sort_values([*rows[:-1], "place"])[rows].drop_duplicates()
    columns = [table.columns[name] for name in rows]
    head = (*(column.title for column in columns), *map(style.dataset_name, datasets))
    return head, tuple(
        (
            *(shown(value, column) for value, column in zip(key, columns, strict=True)),
            *(found.get((*key, dataset), MISSING) for dataset in datasets),
        )
        for key in keys.itertuples(index=False, name=None)
    )
