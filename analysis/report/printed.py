"""Tables to be read: as Markdown, LaTeX (booktabs) or CSV."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from analysis import style
from analysis.errors import AnalysisError
from analysis.results.evaluations import by_cell
from analysis.results.folder import BOOTSTRAP_SEED, Frames
from analysis.results.summary import contrasts, ranked

TIMED = 2  # Mid2Rest: the scenario of the paper's Table 2


@dataclass(frozen=True, slots=True)
class Printed:
    """A table for a reader (``head``, ``rows``, all text) and the numbers it was made from."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: pd.DataFrame


def accuracy(frames: Frames) -> Printed:
    """Mean test accuracy with its interval, by scenario and model (rows) and dataset (columns)."""
    cells = frames.summary
    return Printed(
        "Test accuracy",
        "Mean over seeds in percent, 95 % bootstrap interval, number of seeds; runs that collapsed "
        "(best validation accuracy below twice chance) are in the mean and counted.",
        *_grid(cells, ["scenario", "model"], _accuracy),
        cells,
    )


def epoch_time(frames: Frames) -> Printed:
    """Mean seconds per epoch by model (rows) and dataset (columns), and of the last epoch alone."""
    cells = frames.summary
    timed = cells[cells["scenario"] == TIMED]
    if timed.empty:
        raise AnalysisError(
            f"The table of times shows {style.scenario_name(TIMED)}; there are no runs of it."
        )
    return Printed(
        f"Seconds per epoch, {style.scenario_name(TIMED)}",
        "Mean over epochs and seeds; in brackets the mean over seeds of the last epoch alone, "
        "which is what the paper's Table 2 shows.",
        *_grid(
            timed,
            ["model"],
            lambda row: f"{row['epoch_seconds']:.4f} ({row['last_epoch_seconds']:.4f})",
        ),
        timed[["dataset", "scenario", "model", "seeds", "epoch_seconds", "last_epoch_seconds"]],
    )


def evaluations(frames: Frames) -> Printed:
    """Equivariance error and the correlation of kernel and object size, by cell."""
    cells = by_cell(frames, rng=np.random.default_rng(BOOTSTRAP_SEED))
    names = style.model_styles(cells["model"])
    rows = [
        (
            style.dataset_name(row["dataset"]),
            style.scenario_name(row["scenario"]),
            names[row["model"]].name,
            str(row["evaluated"]),
            _bounded(row),
            _share(row["undefined"]),
            *(_number(row[name]) for name in ("r_1", "r_2")),
            _share(row["constant"]),
        )
        for row in cells.to_dict("records")
    ]
    return Printed(
        "Evaluations of trained weights",
        "Equivariance error at stage 2 on scale pairs that the scenario trains on neither of "
        "(All2All: all pairs), mean over runs with 95 % bootstrap interval, percentage without "
        "one; mean over channels of Pearson's r of chosen kernel size and object scale, by stage, "
        "percentage of channels and objects without one. A dash: does not apply to the model.",
        (
            *("Dataset", "Scenario", "Model", "Runs", "Equivariance error", "Undefined"),
            *("r, stage 1", "r, stage 2", "Without r"),
        ),
        tuple(rows),
        cells,
    )


def _bounded(row: Mapping[Any, Any]) -> str:
    error, low, high = (_number(row[name]) for name in ("error", "error_low", "error_high"))
    return error if error == "-" else f"{error} [{low}, {high}]".replace("-, -", "?, ?")


def _share(value: float) -> str:
    return "-" if np.isnan(value) else _percent(value)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def ranks(frames: Frames) -> Printed:
    """Average rank of each model over the cells that all have."""
    found = ranked(frames.trials)
    ranking = found.ranking
    names = style.model_styles(ranking.ranks)
    numbers = pd.DataFrame({"model": list(ranking.ranks), "rank": list(ranking.ranks.values())})
    alike = "; ".join(", ".join(names[model].name for model in group) for group in ranking.alike)
    return Printed(
        "Average ranks",
        f"By mean test accuracy over {ranking.cells} cells, 1 is best; Friedman p "
        f"{ranking.friedman_p:.2g}; ranks further apart than {ranking.critical_difference:.2f} "
        f"differ (Nemenyi, 5 %). Not told apart: {alike or 'none'}. {found.words}".strip(),
        ("Model", "Average rank"),
        tuple((names[model].name, f"{rank:.2f}") for model, rank in ranking.ranks.items()),
        numbers,
    )


def differences(frames: Frames) -> Printed:
    """Every two models against each other within a dataset and scenario."""
    pairs = contrasts(frames.trials)
    if pairs.empty:
        raise AnalysisError(
            "Differences need two models with two runs each in one dataset and scenario; "
            "there are none."
        )
    names = style.model_styles([*pairs["model"], *pairs["other_model"]])
    rows = [
        (
            style.dataset_name(row["dataset"]),
            style.scenario_name(row["scenario"]),
            names[row["model"]].name,
            names[row["other_model"]].name,
            f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]",
            f"{row['welch_p_holm']:.2g}",
            f"{row['mann_whitney_p_holm']:.2g}",
            f"{row['hedges_g']:+.2f}",
            f"{row['cliffs_delta']:+.2f}",
        )
        for row in pairs.to_dict("records")
    ]
    return Printed(
        "Differences between models",
        "First minus second, percentage points, 95 % Welch interval; p of Welch's and of the "
        "Mann-Whitney test, corrected by Holm within a dataset and scenario; Hedges' g and "
        "Cliff's delta. Seeds are not paired.",
        (
            *("Dataset", "Scenario", "Model", "Other model", "Difference"),
            *("Welch p", "Mann-Whitney p", "Hedges' g", "Cliff's delta"),
        ),
        tuple(rows),
        pairs,
    )


def _grid(
    cells: pd.DataFrame, lines: list[str], show: Callable[[Mapping[Any, Any]], str]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows of a table with a column per dataset; a cell without runs is a dash."""
    datasets = style.ordered(cells["dataset"], style.DATASETS)
    names = style.model_styles(cells["model"])
    texts = {
        (*(row[name] for name in lines), row["dataset"]): show(row)
        for row in cells.to_dict("records")
    }
    keys = cells.assign(place=cells["model"].map(list(names).index))
    keys = keys.sort_values([*lines[:-1], "place"])[lines].drop_duplicates()
    rows = tuple(
        (
            *(style.scenario_name(value) for value in key[:-1]),
            names[key[-1]].name,
            *(texts.get((*key, dataset), "-") for dataset in datasets),
        )
        for key in keys.itertuples(index=False, name=None)
    )
    head = (*(name.capitalize() for name in lines), *map(style.dataset_name, datasets))
    return head, rows


def _accuracy(row: Mapping[Any, Any]) -> str:
    mean, low, high, seeds = (row[name] for name in ("mean", "mean_low", "mean_high", "seeds"))
    text = f"{_percent(mean)} [{_percent(low)}, {_percent(high)}], n = {seeds}"
    return f"{text}, {row['collapsed']} collapsed" if row["collapsed"] else text


def _percent(share: float) -> str:
    return "?" if np.isnan(share) else f"{100 * share:.1f}"


TABLES: Mapping[str, Callable[[Frames], Printed]] = MappingProxyType(
    {
        "accuracy": accuracy,
        "time": epoch_time,
        "evaluations": evaluations,
        "ranks": ranks,
        "differences": differences,
    }
)


def markdown(table: Printed) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (table.head, *table.rows)]
    lines.insert(1, "|" + " --- |" * len(table.head))
    body = "\n".join(line.replace("\n", " ") for line in lines)
    return f"**{table.title}.** {table.note}\n\n{body}\n"


def latex(table: Printed) -> str:
    """A ``tabular`` for the booktabs package, the note as its caption."""
    rows = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in table.rows]
    head = " & ".join(_tex(cell) for cell in table.head) + r" \\"
    return "\n".join(
        [
            r"\begin{table}",
            rf"  \caption{{{_tex(table.title)}. {_tex(table.note)}}}",
            rf"  \begin{{tabular}}{{{'l' * len(table.head)}}}",
            *(f"    {line}" for line in (r"\toprule", head, r"\midrule", *rows, r"\bottomrule")),
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def csv(table: Printed) -> str:
    """The numbers behind the table, unrounded, accuracies 0..1."""
    return table.numbers.to_csv(index=False)


FORMATS: Mapping[str, Callable[[Printed], str]] = MappingProxyType(
    {"md": markdown, "tex": latex, "csv": csv}
)

_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {sign: "\\" + sign for sign in "&%$#_{}"}


def _tex(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda sign: _TEX[sign[0]], text)
