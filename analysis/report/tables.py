"""Every table for a reader: its columns and caption, and the frame that it is made from."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from analysis import stats, style
from analysis.errors import AnalysisError
from analysis.report.table import (
    Column,
    Grid,
    Table,
    hundredths,
    model_column,
    number,
    percent,
    points,
    short,
    signed,
    whole,
)
from analysis.results.comparison import (
    MARGIN,
    NOTHING_COMPARABLE,
    compared,
    not_comparable,
)
from analysis.results.folder import ResultsFolder
from analysis.results.searching import varied
from analysis.results.summary import ranked
from stir.terminal import counted

TIMED = 2  # Mid2Rest: the scenario of the paper's Table 2
INTERVALS = (
    f"Intervals are 95 %: Student's t for fewer than {stats.FEW} runs, else a bootstrap over seeds."
)


def accuracy(folder: ResultsFolder) -> Table:
    """Mean test accuracy with its interval, by scenario and model (rows) and dataset (columns)."""
    cells = folder.summary
    styles = style.model_styles(cells["model"])
    return Table(
        "Test accuracy",
        f"Mean over n seeds in percent, with its interval. {INTERVALS} Runs that collapsed (best "
        "validation accuracy below twice chance) are in the mean and counted; runs that failed are "
        "in no mean and counted.",
        cells,
        {
            **cell_columns(styles),
            "lr": number("Learning rate", short),
            "seeds": number("Seeds", str),
            "failed": number("Failed", str),
            "mean": number("Mean", percent),
            "mean_low": number("from", percent),
            "mean_high": number("to", percent),
            "interval": Column("Interval"),
            "spread": number("Standard deviation", percent),
            "median": number("Median", percent),
            "lowest": number("Lowest", percent),
            "highest": number("Highest", percent),
            "valid": number("Best validation", percent),
            "collapsed": number("Collapsed", str),
            "epochs": number("Epochs", lambda value: f"{value:.1f}"),
            "train_seconds": number("Training s per epoch", short),
            "epoch_seconds": number("All s per epoch", short),
        },
        Grid(("scenario", "model"), _accuracy),
        styles,
    )


def epoch_time(folder: ResultsFolder) -> Table:
    """Mean seconds of training per epoch by model (rows) and dataset (columns)."""
    cells = folder.summary
    timed = cells[cells["scenario"] == TIMED]
    if timed.empty:
        raise AnalysisError(
            f"The table of times shows {style.scenario_name(TIMED)}; there are no runs of it."
        )
    styles = style.model_styles(timed["model"])
    return Table(
        f"Seconds of training per epoch, {style.scenario_name(TIMED)}",
        "Mean over epochs and seeds of the time in training batches; in brackets the mean over "
        "seeds of the last epoch alone, which is what the paper's Table 2 shows. Records that did "
        "not time training by itself say how long whole epochs took, with validation, which is "
        "another quantity.",
        timed[
            [
                *("dataset", "scenario", "model", "seeds", "failed"),
                *("train_seconds", "last_train_seconds", "epoch_seconds"),
            ]
        ],
        {
            **cell_columns(styles),
            "seeds": number("Seeds", str),
            "failed": number("Failed", str),
            "train_seconds": number("Training", short),
            "last_train_seconds": number("Last epoch", short),
            "epoch_seconds": number("With validation", short),
        },
        Grid(("model",), _seconds),
        styles,
    )


def evaluations(folder: ResultsFolder) -> Table:
    """Equivariance error and the correlation of kernel and object size, by cell."""
    cells = folder.evaluated_cells
    styles = style.model_styles(cells["model"])
    return Table(
        "Evaluations of trained weights",
        "Equivariance error at stage 2 on scale pairs that the scenario trains on neither of "
        f"(All2All: all pairs), mean over runs with its interval. {INTERVALS} r is Pearson's, of "
        "chosen kernel size and object scale, mean over channels and runs. Some objects have no "
        "error and some channels no r: they are in no mean, and their share is given. A dash: does "
        "not apply to the model.",
        cells,
        {
            **cell_columns(styles),
            "evaluated": number("Runs", str),
            "failed": number("Failed", str),
            "error": number("Equivariance error", hundredths),
            "error_low": number("from", hundredths),
            "error_high": number("to", hundredths),
            "undefined": number("% undefined", percent),
            "r_1": number("r, stage 1", hundredths),
            "r_2": number("r, stage 2", hundredths),
            "constant": number("% without r", percent),
        },
        styles=styles,
    )


def ranks(folder: ResultsFolder) -> Table:
    """Average rank of each model over the cells that all have."""
    found = ranked(folder.trials)
    ranking = found.ranking
    styles = style.model_styles(ranking.ranks)
    alike = "; ".join(", ".join(styles[model].name for model in group) for group in ranking.alike)
    failed = len(folder.failed)
    return Table(
        "Average ranks",
        f"By mean test accuracy over {counted(ranking.cells, 'cell')}, 1 is best; Friedman p "
        f"{ranking.friedman_p:.2g}; ranks further apart than {ranking.critical_difference:.2f} "
        f"differ (Nemenyi, 5 %). Not distinguished: {alike or 'none'}. "
        f"{f'Failed runs, in no mean: {failed}. ' if failed else ''}{found.note}".strip(),
        pd.DataFrame({"model": list(ranking.ranks), "rank": list(ranking.ranks.values())}),
        {"model": model_column(styles), "rank": number("Average rank", hundredths)},
        styles=styles,
    )


def differences(folder: ResultsFolder) -> Table:
    """Every two models against each other within a dataset and scenario."""
    folder.trials  # noqa: B018  (says why there are none)
    pairs = folder.contrasts
    if pairs.empty:
        raise AnalysisError(
            "Differences need two models with two runs each in one dataset and scenario; "
            "there are none."
        )
    styles = style.model_styles([*pairs["model"], *pairs["other_model"]])
    return Table(
        "Differences between models",
        "First minus second within a dataset and scenario, percentage points of mean test "
        "accuracy, 95 % Welch interval; p of Welch's and of the Mann-Whitney test, corrected for "
        "the pairs of that dataset and scenario (Holm); Hedges' g and Cliff's delta. Seeds are not "
        "paired: between models they have nothing in common.",
        pairs,
        {
            **cell_columns(styles),
            "other_model": model_column(styles, "minus"),
            "seeds": number("Seeds", str),
            "other_seeds": number("Other seeds", str),
            "difference": number("Points", points),
            "low": number("from", points),
            "high": number("to", points),
            "welch_p_holm": number("Welch p", lambda p: f"{p:.2g}"),
            "mann_whitney_p_holm": number("Mann-Whitney p", lambda p: f"{p:.2g}"),
            "hedges_g": number("Hedges' g", signed),
            "cliffs_delta": number("Cliff's delta", signed),
        },
        styles=styles,
    )


def comparison(folder: ResultsFolder, margin: float = MARGIN) -> Table:
    """Our cells against the published ones; see ``comparison.compared``."""
    table = compared(folder.all_trials, folder.study_points, folder.published_cells, margin=margin)
    if table.empty:
        raise AnalysisError(NOTHING_COMPARABLE)
    styles = style.model_styles(table["model"])
    other = not_comparable(folder.all_trials)
    left_out = (
        f" Not compared: {counted(other, 'finished trial')} of ours of another recipe (one that "
        "stops at a divergence is), kernel size or interpolation."
        if other
        else ""
    )
    return Table(
        "Ours against the published results",
        f"Ours minus published, 95 % interval. Agrees: within {100 * margin:g} points by two "
        "one-sided tests at 5 %. Differs: otherwise, and not zero at 5 % (Holm over cells). Too "
        "few runs: neither can be said. Seeds are paired only where both have all of ours and they "
        f"clearly go together; with fewer than {stats.FEW} runs on a side the spread of all runs "
        "is taken, else Welch's test. Means and seeds are those of the runs compared; failed runs "
        f"of ours are in no mean.{left_out}",
        table,
        {
            **cell_columns(styles),
            "lr": number("Learning rate", short),
            "published_lr": number("published", short),
            "seeds": number("Seeds", str),
            "published_seeds": number("published", str),
            "failed": number("Failed", str),
            "mean": number("Mean", percent),
            "published_mean": number("published", percent),
            "difference": number("Points", points),
            "low": number("from", points),
            "high": number("to", points),
            "test": Column("Test"),
            "shared_seeds": number("Shared seeds", str),
            "correlation": number("r over seeds", hundredths),
            "verdict": Column("Verdict"),
        },
        styles=styles,
    )


def samples(search: pd.DataFrame) -> Table:
    """The samples of one search, the best first: what was drawn, and what came of it."""
    order = search.sort_values("best_valid_accuracy", ascending=False, kind="stable")
    styles = style.model_styles(search["model"])
    axes = {
        name: {
            "model": model_column(styles),
            "dataset": Column("Dataset", style.dataset_name),
            "scenario": Column("Scenario", style.scenario_name),
            "lr": number("Learning rate", short),
        }.get(name, number(name.replace("_", " ").capitalize(), str))
        for name in varied(search)
    }
    counts = search["status"].value_counts().to_dict()
    return Table(
        f"Search {search['study'].iloc[0]}",
        f"{', '.join(f'{count} {status}' for status, count in counts.items())}. Columns are the "
        "axes that vary. The best of many validation accuracies is high also by chance; samples "
        "are in no mean, figure or table but these.",
        order,
        {
            "sample": number("Sample", str),
            **axes,
            "status": Column("Status"),
            "epochs": number("Epochs", whole),
            "best_valid_accuracy": number("Best validation", percent),
            "test_accuracy": number("Test", percent),
            "reason": Column("Why", long=True),
        },
        styles=styles,
    )


TABLES: Mapping[str, Callable[[ResultsFolder], Table]] = MappingProxyType(
    {
        "accuracy": accuracy,
        "time": epoch_time,
        "evaluations": evaluations,
        "ranks": ranks,
        "differences": differences,
        "comparison": comparison,
    }
)


def cell_columns(styles: Mapping[str, style.ModelStyle]) -> dict[str, Column]:
    """The columns that name a cell."""
    return {
        "dataset": Column("Dataset", style.dataset_name),
        "scenario": Column("Scenario", style.scenario_name),
        "model": model_column(styles),
    }


def _accuracy(row: Mapping[Any, Any]) -> str:
    mean, low, high = (_percent(row[name]) for name in ("mean", "mean_low", "mean_high"))
    counts = [f"n = {row['seeds']}"]
    counts += [f"{row[name]} {name}" for name in ("collapsed", "failed") if row[name]]
    return f"{mean} [{low}, {high}], {', '.join(counts)}"


def _percent(share: float) -> str:
    return "?" if np.isnan(share) else percent(share)


def _seconds(row: Mapping[Any, Any]) -> str:
    failed = f", {row['failed']} failed" if row["failed"] else ""
    if not np.isnan(row["train_seconds"]):
        last = row["last_train_seconds"]
        return f"{row['train_seconds']:.4f} ({'?' if np.isnan(last) else f'{last:.4f}'}){failed}"
    return f"{row['epoch_seconds']:.4f} with validation{failed}"
