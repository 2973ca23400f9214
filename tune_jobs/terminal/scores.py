"""What finished points got on the test images, the best of each dataset and scenario first."""

from collections.abc import Iterable, Sequence

from tune_jobs.plan.scores import Standing, contests, standings
from tune_jobs.plan.searches import SearchStatus
from tune_jobs.point import Cell
from tune_jobs.records.trial import Score
from tune_jobs.terminal.table import Column, interpolations, show_table

SAMPLES_SHOWN = 10


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


def show_samples(one: SearchStatus) -> None:
    """Print the best samples of a search in validation: what was drawn, and how each ended."""
    ranked = one.ranked[:SAMPLES_SHOWN]
    if not ranked:
        return
    drawn = [
        Column(head=name, cells=[_value(sample.drawn[name]) for sample, _ in ranked], kind="fact")
        for name in ranked[0][0].drawn
    ]
    outcomes = [outcome for _, outcome in ranked]
    columns = [
        Column(head="sample", cells=[str(sample.number) for sample, _ in ranked], kind="name"),
        *drawn,
        count_column("validation", (percent(end.best_valid_accuracy) for end in outcomes)),
        count_column("test", (percent(end.test_accuracy) for end in outcomes)),
        count_column("epochs", (str(end.epochs) for end in outcomes)),
        Column(head="ended", cells=[end.status for end in outcomes], kind="fact"),
    ]
    shown = f"the best {len(ranked)} of" if len(ranked) < len(one.ranked) else "samples of"
    show_table(f"{shown} {one.search.study}", columns)


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


def _value(drawn: object) -> str:
    return f"{drawn:.4g}" if isinstance(drawn, float) else str(drawn)


def _bound(one: Standing, place: int) -> str:
    return percent(one.accuracies[place]) if len(one.accuracies) > 1 else ""
