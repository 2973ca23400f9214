"""How the trials of the reproduction went: interruptions, hours, and what is left to run."""

import math
from collections import Counter
from typing import Any

import pandas as pd

from analysis import style
from analysis.results.folder import ResultsFolder
from benchmarks.reproduction.prose import joined, markdown_table, percent
from stir.terminal import counted

HOUR = 3600  # seconds
SAME = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
Forecast = dict[str, Any]


def resumed(results: ResultsFolder, again: ResultsFolder) -> str:
    """The trials that were cut off, and those of them that were run again in one piece."""
    trials = results.reported
    cut = trials[trials["resumed"] > 0]
    text = (
        f"{counted(len(cut), 'trial')} of {len(trials)} {'was' if len(cut) == 1 else 'were'} "
        "cut off by Ctrl-C or by the end of the process and went on from a checkpoint. Of these, "
        "the following were run a second time, in one piece, and compared in the losses and "
        "accuracies of every epoch:"
    )
    rows = []
    for trial in again.reported.to_dict("records"):
        first = cut[cut["point_id"] == trial["point_id"]].to_dict("records")
        rows += [_both(results, again, one, trial) for one in first]
    head = [
        "trial",
        "resumed",
        "epochs",
        "test accuracy",
        "in one piece",
        "largest difference",
    ]
    return f"{text}\n\n{markdown_table(head, rows)}"


def _both(
    results: ResultsFolder, again: ResultsFolder, one: dict[Any, Any], two: dict[Any, Any]
) -> list[str]:
    curves = [_curves(folder, one["point_id"]) for folder in (results, again)]
    alike = len(curves[0]) == len(curves[1])
    gap = float((curves[0] - curves[1]).abs().to_numpy().max()) if alike else math.nan
    return [
        f"{one['model']}, seed {one['seed']}",
        counted(one["resumed"], "time"),
        f"{one['epochs']:.0f}, {two['epochs']:.0f}",
        percent(one["test_accuracy"]),
        percent(two["test_accuracy"]),
        f"{gap:g}",
    ]


def _curves(results: ResultsFolder, point_id: str) -> pd.DataFrame:
    epochs = results.epochs[results.epochs["point_id"] == point_id].sort_values("epoch")
    return epochs[list(SAME)].reset_index(drop=True)


def hours(results: ResultsFolder) -> float:
    return float(results.reported["wall_seconds"].sum()) / HOUR


def by_model(results: ResultsFolder, forecast: Forecast) -> str:
    """Points, epochs and hours of each model, beside the forecast for as many points."""
    trials = results.reported
    expected = _per_trial(forecast)
    rows = []
    for model in style.ordered(trials["model"], style.MODELS):
        found = trials[trials["model"] == model]
        known = [expected.get(key) for key in _cells_of(found)]
        rows.append(
            [
                style.model_styles([model])[model].name,
                str(len(found)),
                f"{found['epochs'].mean():.1f}",
                f"{found['wall_seconds'].sum() / HOUR:.2f}",
                f"{sum(filter(None, known)) / HOUR:.2f}",
            ]
        )
    spent = (trials["finished_at"].max() - trials["started_at"].min()).total_seconds() / HOUR
    published = set(results.published_cells["model"])
    older = int((trials["backend"].isna() & trials["model"].isin(published)).sum())
    table = markdown_table(
        ["model", "points", "mean epochs", "core-hours", "forecast"],
        [*rows, ["all", str(len(trials)), "", f"{hours(results):.2f}", _total(rows)]],
    )
    return (
        f"{counted(len(trials), 'point')} took {hours(results):.1f} hours of trials, each on one "
        f"core; between the first start and the last end lie {spent:.1f} hours. {older} of them "
        f"were computed by an earlier version without compiled layers.\n\n{table}"
    )


def _total(rows: list[list[str]]) -> str:
    return f"{sum(float(row[-1]) for row in rows):.2f}"


def missing(results: ResultsFolder, forecast: Forecast) -> str:
    """What the study holds and has no record, and what it does not hold."""
    points = results.grid_points
    done = set(results.reported["point_id"])
    left = points[(points["study"] == "reproduction") & ~points["point_id"].isin(done)]
    expected = _per_trial(forecast)
    seconds = sum(expected.get(key) or 0.0 for key in _cells_of(left))
    cells: dict[tuple[str, int], Counter[str]] = {}
    for model, dataset, scenario in sorted(_cells_of(left), key=lambda cell: cell[1:]):
        cells.setdefault((dataset, scenario), Counter())[model] += 1
    rows = [
        [
            style.dataset_name(dataset),
            style.scenario_name(scenario),
            joined(f"{model} ({count})" for model, count in models.most_common()),
        ]
        for (dataset, scenario), models in cells.items()
    ]
    text = (
        f"Of the study, {counted(len(left), 'point')} ({seconds / HOUR:.1f} core-hours by the "
        "forecast). Not in the study: trafficsign and aerial, whose raw images must be fetched by "
        "hand, the costly models on other scenarios, and the 50 seeds of the paper. Nothing was "
        "run on a GPU."
    )
    table = markdown_table(["dataset", "scenario", "points without a record"], rows)
    return f"{text}\n\n{table}" if rows else text


def _cells_of(trials: pd.DataFrame) -> list[tuple[str, str, int]]:
    return list(trials[["model", "dataset", "scenario"]].itertuples(index=False, name=None))


def _per_trial(forecast: Forecast) -> dict[tuple[str, str, int], float]:
    cells = [cell for phase in forecast["phases"] for cell in phase["cells"]]
    return {
        (cell["model"], cell["dataset"], cell["scenario"]): cell["trial_seconds"] for cell in cells
    }
