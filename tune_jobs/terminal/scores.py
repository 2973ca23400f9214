"""What finished points got on the test images, the best of each dataset and scenario first."""

from collections.abc import Iterable, Sequence

from tune_jobs.plan.scores import Standing, contests, standings
from tune_jobs.point import Cell
from tune_jobs.records.trial import Score
from tune_jobs.terminal.table import Column, interpolations, show_table


def show_scores(scores: Iterable[Score], title: str) -> None:
    """Print the mean test accuracy of each cell at each learning rate, and the range over seeds."""
    made = standings(scores)
    if not made:
        return
    columns = [
        *cell_columns([(one.cell, one.lr) for one in made]),
        count_column("accuracy", (percent(one.mean) for one in made)),
        count_column("lowest", (_bound(one, 0) for one in made)),
        count_column("highest", (_bound(one, -1) for one in made)),
        count_column("seeds", (str(len(one.accuracies)) for one in made)),
    ]
    show_table(title, columns, sections={*contests(made)})


def cell_columns(rows: Sequence[tuple[Cell, float]]) -> list[Column]:
    """What distinguishes cells at learning rates; what does not goes into the title."""
    cells = [cell for cell, _ in rows]

    def fact(head: str, texts: Iterable[object]) -> Column:
        return Column(head=head, cells=[*map(str, texts)], kind="fact")

    return [
        fact("dataset", (cell.dataset for cell in cells)),
        fact("scenario", (cell.scenario for cell in cells)),
        Column(head="model", cells=[cell.model for cell in cells], kind="name", total="all"),
        fact("kernel", (cell.kernel_size for cell in cells)),
        fact("interpolation", interpolations([cell.interpolation for cell in cells])),
        fact("lr", (f"{lr:g}" for _, lr in rows)),
    ]


def count_column(head: str, texts: Iterable[str], total: str = "") -> Column:
    """A column of numbers, left out where all are 0."""
    return Column(head=head, cells=[*texts], kind="count", total=total)


def percent(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{accuracy:.1%}"


def _bound(one: Standing, place: int) -> str:
    return percent(one.accuracies[place]) if len(one.accuracies) > 1 else ""
