"""What ``tune-jobs plan`` shows: what is left of each model, how long that takes, what it costs."""

from collections import Counter
from collections.abc import Sequence

from stir.terminal import counted
from tune_jobs.plan.opened import OpenedStudy
from tune_jobs.plan.outlook import CellOutlook, Outlook, PhaseOutlook
from tune_jobs.plan.prior import PRIOR_GPU
from tune_jobs.records.state import POINT_STATES
from tune_jobs.terminal.table import Column, interpolations, show_table
from tune_jobs.wording import duration, span

Row = Sequence[CellOutlook]  # the cells that share a row


def show_outlook(
    opened: OpenedStudy, outlook: Outlook, slots: int, price: float | None, *, cells: bool
) -> None:
    """Print a table a phase, a row a model and dataset (or a cell), then what it adds up to."""
    from rich.console import Console

    for phase in outlook.phases:
        title = f"study {opened.study.name}"
        if len(outlook.phases) > 1:
            title += f", phase {phase.phase.name}: {counted(phase.points, 'point')}"
        _show_phase(phase, title, cells=cells)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for line in _lines(opened, outlook, slots, price):
        console.print(line)


def time_left(seconds: float, slots: int, price: float | None) -> str:
    """How long trials take in all, how long that is with some at once, and what it costs."""
    each = seconds / slots
    line = f"left: about {duration(seconds)} of trials"
    if slots > 1:
        line += f", {duration(each)} with {slots} at once"
    if price is not None:
        line += f", {each / 3600 * price:,.2f} at {price:g} an hour"
    return line


def _lines(opened: OpenedStudy, outlook: Outlook, slots: int, price: float | None) -> list[str]:
    """What stands below the tables."""
    lines = [f"counted as to do: {error}" for error in opened.missing.values()]
    points = " + ".join(f"{phase.points:,}" for phase in outlook.phases)
    if repeated := sum(cell.repeated for cell in outlook.cells):
        points += f", {repeated:,} of them twice: {outlook.distinct:,} to train in all"
    lines.append(f"points: {points}; {outlook.reported:,} reported")
    if any(cell.left for cell in outlook.cells):
        lines += [time_left(outlook.known_seconds_left, slots, price), _source(outlook)]
    else:
        lines.append("nothing is left to do")
    return lines


def _source(outlook: Outlook) -> str:
    """Where the times are from."""
    sources = Counter(
        cell.trial.source if cell.trial else "" for cell in outlook.cells if cell.left
    )
    parts = {
        "from records": sources["records"],
        "from records of another processor": sources["records elsewhere"],
        "from a calibration of this machine": sources["calibration"],
        "scaled from records of other machines or forms of the layers": sources["other records"],
        "from a table made on one CPU thread": sources["table"],
        f"from a table made on an {PRIOR_GPU}": sources["GPU table"],
        "not known and not counted": sources[""],
    }
    shown = [
        f"{source} for {number} of {counted(sources.total(), 'cell')}"
        for source, number in parts.items()
        if number
    ]
    return f"times are {'; '.join(shown)}"


def _show_phase(phase: PhaseOutlook, title: str, *, cells: bool) -> None:
    rows = [[cell] for cell in phase.cells] if cells else _by_model(phase.cells)
    show_table(title, [*_facts(rows), *_numbers(rows)], total=len(rows) > 1)


def _by_model(cells: Sequence[CellOutlook]) -> list[Row]:
    """The cells of each model and dataset, in the order of their first ones."""
    rows: dict[tuple[str, str], list[CellOutlook]] = {}
    for outlook in cells:
        rows.setdefault((outlook.cell.model, outlook.cell.dataset), []).append(outlook)
    return list(rows.values())


def _facts(rows: Sequence[Row]) -> list[Column]:
    """What distinguishes the rows."""

    def column(head: str, *texts: str) -> Column:
        return Column(head=head, cells=texts, kind="fact")

    rates = [sorted({rate for outlook in row for rate in outlook.rates}) for row in rows]
    return [
        Column(head="model", cells=[row[0].cell.model for row in rows], kind="name", total="all"),
        column("dataset", *(row[0].cell.dataset for row in rows)),
        column("scenario", *(span(_values(row, "scenario")) for row in rows)),
        column("kernel", *(span(_values(row, "kernel_size")) for row in rows)),
        column("interpolation", *interpolations([_interpolation(row) for row in rows])),
        column("lr", *(", ".join(f"{lr:g}" for lr in of_row) for of_row in rates)),
    ]


def _interpolation(row: Row) -> str | None:
    return ", ".join(_values(row, "interpolation")) or None


def _values(row: Row, name: str) -> list:
    return sorted({value for one in row if (value := getattr(one.cell, name)) is not None})


def _numbers(rows: Sequence[Row]) -> list[Column]:
    """Points by state, and the time that they take."""

    def column(head: str, *numbers: int) -> Column:
        cells = [f"{number:,}" for number in numbers]
        return Column(head=head, cells=cells, kind="count", total=f"{sum(numbers):,}")

    seconds = [sum(outlook.seconds_left for outlook in row) for row in rows]
    known = [all(outlook.trial or not outlook.left for outlook in row) for row in rows]
    return [
        *(
            column(state, *(sum(o.states[state] for o in row) for row in rows))
            for state in POINT_STATES
        ),
        column("waiting", *(sum(outlook.waiting for outlook in row) for row in rows)),
        Column(
            head="time left",
            cells=[_time(each, sure) for each, sure in zip(seconds, known, strict=True)],
            kind="count",
            total=_time(sum(seconds), all(known)),
        ),
    ]


def _time(seconds: float, is_known: bool) -> str:
    """Nothing for nothing; a question mark where a model of the row is not known."""
    if not is_known:
        return f"{duration(seconds)} + ?" if seconds else "?"
    return duration(seconds) if seconds else "0"
