"""What ``tune-jobs status`` shows of a storage."""

import sys
import time
from collections.abc import Iterator, Sequence

from stir.terminal import counted
from tune_jobs.driver.search import describe_counts
from tune_jobs.plan.scores import standings
from tune_jobs.plan.searches import SearchStatus
from tune_jobs.plan.status import Status
from tune_jobs.point import Cell
from tune_jobs.records.rental import Rental, cost_of, expenses
from tune_jobs.records.state import POINT_STATES
from tune_jobs.records.text import visible
from tune_jobs.terminal.scores import cell_columns, count_column, percent
from tune_jobs.terminal.table import show_table


def show_status(status: Status, title: str) -> None:
    """Print the cells of a storage, the best of each dataset and scenario first, and what runs."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not (status.rates or status.searches or status.running or status.damaged or status.rentals):
        console.print(f"{title} holds no trial")
        return
    if status.rates:
        _show_cells(status, title)
    for line in _lines(status):
        console.print(visible(line))


def clear() -> None:
    """Begin a new look: an empty screen on a terminal, the time elsewhere."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[H\x1b[2J")
    sys.stdout.write(time.strftime("%H:%M:%S\n"))


def _show_cells(status: Status, title: str) -> None:
    means = {(one.cell, one.lr): one.mean for one in standings(status.scores.values())}
    places = {contest: place for place, contest in enumerate(map(_contest, status.rates))}
    rows = sorted(status.rates, key=lambda row: (places[_contest(row)], -means.get(row, -1.0)))
    columns = [
        *cell_columns(rows),
        count_column("accuracy", (percent(means.get(row)) for row in rows)),
    ]
    for state in POINT_STATES:
        numbers = [status.rates[row].get(state, 0) for row in rows]
        columns.append(
            count_column(state, (f"{number:,}" for number in numbers), f"{sum(numbers):,}")
        )
    sections = {
        number
        for number, row in enumerate(rows)
        if number and _contest(row) != _contest(rows[number - 1])
    }
    show_table(title, columns, sections=sections, total=len(rows) > 1)


def _contest(row: tuple[Cell, float]) -> tuple[str, int]:
    """What the models of a section have in common."""
    return row[0].dataset, row[0].scenario


def _lines(status: Status) -> Iterator[str]:
    """The lines below the table."""
    for study in status.studies:
        chosen = sum(choice.lr is not None for choice in study.choices)
        rates = f", a learning rate for {chosen} of {counted(len(study.choices), 'cell')}"
        points = f"study {study.study}, phase {study.phase}: {counted(len(study.points), 'point')}"
        yield points + (rates if study.rule else "")
        for choice in study.choices:
            if choice.lr is None:
                yield f"undecided {choice.cell.label}: {choice.undecided}"
    for one in status.searches:
        yield _search_line(one)
    for study, rentals in status.rentals.items():
        yield _cost_line(study, rentals)
    for one in status.running:
        label = one.point.label if one.point else one.point_id
        ago = time.time() - one.claim.heartbeat
        epoch, _ = one.claim.position
        host = one.claim.host
        yield f"in flight {label}: on {host}, from epoch {epoch}, heartbeat {ago:.0f} s ago"
    for one in status.failed:
        yield f"failed    {one.point.label}, attempt {one.attempts}: {one.error}"
    for line in status.damaged:
        yield f"damaged   {line}"


def _search_line(one: SearchStatus) -> str:
    line = (
        f"search {one.search.study}: {describe_counts(one.states, one.search.trials - one.drawn)}"
    )
    return f"{line}; {best_sample(one)}" if one.best else line


def _cost_line(study: str, rentals: Sequence[Rental]) -> str:
    """Money that a study has cost so far, and for what."""
    parts = (
        f"{one.kind} {one.cost:,.2f} ({counted(one.machines, 'machine')}, {one.hours:,.1f} h "
        f"at {one.price:g})"
        for one in expenses(rentals)
    )
    return f"cost of {study}: {cost_of(rentals):,.2f} so far: {', '.join(parts)}"


def best_sample(one: SearchStatus) -> str:
    """The best validation accuracy of a search that has one, and where."""
    assert one.best is not None
    sample, outcome = one.best
    drawn = ", ".join(f"{name} {value}" for name, value in sample.drawn.items())
    return f"best validation {outcome.best_valid_accuracy:.1%} at {drawn} ({outcome.status})"
