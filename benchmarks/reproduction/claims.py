"""What the runs say of the paper's claims: tables and sentences, every number from the tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import stats, style
from analysis.results.comparison import AGREES, DIFFERS, TOO_FEW, compared
from analysis.results.folder import ResultsFolder
from benchmarks.reproduction.prose import interval, joined, markdown_table, percent
from stir.terminal import counted

MID2REST = 2
FOLLOWS = 0.5  # an r of kernel and object size from which a channel is said to follow


def published_cells(results: ResultsFolder) -> pd.DataFrame:
    """Our cells beside the published ones (``comparison.compared``), each with its own interval."""
    table = compared(results.all_trials, results.study_points, results.published_cells)
    own = results.summary[["dataset", "scenario", "model", "mean_low", "mean_high", "collapsed"]]
    return table.merge(own, on=["dataset", "scenario", "model"], validate="one_to_one")


def cells_table(cells: pd.DataFrame) -> str:
    head = ["dataset", "scenario", "model", "ours", "n", "published", "n", "difference", "verdict"]
    return markdown_table(head, [_cell(cell) for cell in cells.to_dict("records")])


def _cell(cell: Mapping[Any, Any]) -> list[str]:
    return [
        style.dataset_name(cell["dataset"]),
        style.scenario_name(cell["scenario"]),
        _name(cell["model"]),
        f"{percent(cell['mean'])} {_interval(cell, 'mean_low', 'mean_high')}".strip(),
        str(cell["seeds"]),
        percent(cell["published_mean"]),
        str(cell["published_seeds"]),
        f"{100 * cell['difference']:+.1f} {_interval(cell, 'low', 'high', sign='+')}",
        str(cell["verdict"]),
    ]


def verdicts(cells: pd.DataFrame) -> str:
    """How many cells agree, and each that differs by name."""
    counts = cells["verdict"].value_counts()
    agreeing, differing, open_ = (int(counts.get(each, 0)) for each in (AGREES, DIFFERS, TOO_FEW))
    text = (
        f"Of {counted(len(cells), 'cell')}, {agreeing} {AGREES if agreeing == 1 else 'agree'}, "
        f"{differing} {DIFFERS if differing == 1 else 'differ'}, and in {open_} there are too few "
        "runs to say either."
    )
    for cell in cells[cells["verdict"] == DIFFERS].to_dict("records"):
        gap = 100 * cell["difference"]
        text += (
            f" {_name(cell['model'])} on {style.dataset_name(cell['dataset'])}, "
            f"{style.scenario_name(cell['scenario'])}, lies {abs(gap):.1f} points "
            f"{'above' if gap > 0 else 'below'} the published mean, with "
            f"{counted(cell['seeds'], 'seed')} of ours: why is open."
        )
    return text


def order(cells: pd.DataFrame) -> str:
    """The models of emoji, Mid2Rest, from best to worst, ours and published."""
    cells = cells[(cells["dataset"] == "emoji") & (cells["scenario"] == MID2REST)]
    rho = cells["mean"].rank().corr(cells["published_mean"].rank())
    lines = [
        f"On emoji, {style.scenario_name(MID2REST)}, from best to worst:",
        "",
        f"* ours: {_ranked(cells, 'mean')};",
        f"* published: {_ranked(cells, 'published_mean')}.",
        "",
        f"Spearman's rank correlation of the two over {counted(len(cells), 'model')} is {rho:.2f}.",
    ]
    return "\n".join(lines)


def _ranked(cells: pd.DataFrame, column: str) -> str:
    rows = cells.sort_values(column, ascending=False).to_dict("records")
    return joined(f"{_name(row['model'])} ({percent(row[column])})" for row in rows)


def sizes(results: ResultsFolder) -> str:
    """How the kernel sizes that were chosen go with the sizes of the objects."""
    channels = results.pool_correlations
    channels = channels[(channels["dataset"] == "emoji") & (channels["scenario"] == MID2REST)]
    rows = []
    for (model, stage), found in channels.groupby(["model", "stage"], sort=True):
        known = found["r"].dropna()
        rows.append(
            [
                _name(str(model)),
                str(stage),
                str(found["point_id"].nunique()),
                f"{known.mean():+.2f}",
                f"{known.median():+.2f}",
                f"{100 * float((known > FOLLOWS).mean()):.0f} %",
                f"{100 * float((known < 0).mean()):.0f} %",
            ]
        )
    table = markdown_table(
        ["model", "stage", "runs", "mean r", "median r", f"r above {FOLLOWS}", "r below 0"], rows
    )
    second = channels[channels["stage"] == 2].groupby("model")["r"].mean()
    best = str(second.idxmax())
    return (
        "Pearson's r of the chosen kernel size and the object's size over 48 sizes, mean over "
        "test objects, then over channels and runs (emoji, Mid2Rest). If sizes were followed, it "
        f"would be near 1.\n\n{table}\n\nThe closest at stage 2 is {_name(best)}, with a mean of "
        f"{second.max():+.2f}: "
        + (
            "sizes are followed by most of its channels."
            if second.max() > FOLLOWS
            else "a tendency, not what the idea of these models promises."
        )
    )


def equivariance(results: ResultsFolder) -> str:
    """Equivariance error against accuracy over runs and over models."""
    runs = results.equivariance_errors
    runs = runs[(runs["dataset"] == "emoji") & (runs["scenario"] == MID2REST)].dropna()
    models = runs.groupby("model").agg(
        runs=("error", "size"), error=("error", "median"), accuracy=("test_accuracy", "mean")
    )
    models = models.sort_values("accuracy", ascending=False)
    rows = [
        [_name(str(model)), str(row["runs"]), f"{row['error']:.3g}", percent(row["accuracy"])]
        for model, row in zip(models.index, models.to_dict("records"), strict=True)
    ]
    table = markdown_table(["model", "runs", "median error", "mean accuracy"], rows)
    farthest = str(models["error"].idxmax())
    r, bounds = _log_correlation(runs)
    others, without = _log_correlation(runs[runs["model"] != farthest])
    return (
        f"The error at stage 2 on pairs of unseen sizes (emoji, Mid2Rest).\n\n{table}\n\n"
        f"Over {len(runs)} runs, Pearson's r of the logarithm of the error and the accuracy is "
        f"{r:+.2f} [{bounds.low:+.2f}, {bounds.high:+.2f}]: {_direction(bounds)}. Without "
        f"{_name(farthest)}, whose error is the largest, it is {others:+.2f} "
        f"[{without.low:+.2f}, {without.high:+.2f}]: {_direction(without)}. Runs of one model are "
        "alike, so that these intervals are narrower than those of a claim about models, which "
        f"number {len(models)}."
    )


def _log_correlation(runs: pd.DataFrame) -> tuple[float, stats.Interval]:
    errors = np.log(runs["error"].to_numpy(dtype=float))
    r = stats.correlation(errors, runs["test_accuracy"].to_numpy(dtype=float))
    return r, stats.correlation_interval(r, len(runs))


def _direction(bounds: stats.Interval) -> str:
    if bounds.high < 0:
        return "a smaller error goes with a higher accuracy"
    if bounds.low > 0:
        return "a smaller error goes with a *lower* accuracy"
    return "neither direction is clear"


def own_models(results: ResultsFolder) -> str:
    """Cells of models that are not published, beside the best published mean of the cell."""
    published = results.published_cells
    best = {
        (cell["dataset"], cell["scenario"]): cell
        for cell in published.sort_values("mean").to_dict("records")
    }
    rows = []
    for cell in results.summary.to_dict("records"):
        key = (cell["dataset"], cell["scenario"])
        if cell["model"] in set(published["model"]) or key not in best:
            continue
        rows.append(
            [
                style.dataset_name(cell["dataset"]),
                style.scenario_name(cell["scenario"]),
                _name(cell["model"]),
                f"{percent(cell['mean'])} {_interval(cell, 'mean_low', 'mean_high')}".strip(),
                str(cell["seeds"]),
                f"{percent(best[key]['mean'])} ({_name(best[key]['model'])})",
            ]
        )
    head = ["dataset", "scenario", "model", "ours", "n", "best published mean"]
    return markdown_table(head, rows)


def _name(label: str) -> str:
    return style.model_styles([label])[label].name


def _interval(cell: Mapping[Any, Any], low: str, high: str, *, sign: str = "") -> str:
    return interval(cell[low], cell[high], sign=sign)
