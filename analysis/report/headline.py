"""A sentence for each cell, made from its numbers: who is best, how sure that is."""

import math
from typing import Any

import pandas as pd

from analysis import style
from analysis.report.table import percent
from stir.terminal import counted


def best_first(summary: pd.DataFrame) -> dict[str, list[str]]:
    """The models of each cell by falling mean accuracy; a cell is called ``dataset/scenario``."""
    ordered = summary.sort_values("mean", ascending=False, kind="stable")
    return {
        f"{dataset}/{scenario}": cell["model"].tolist()
        for (dataset, scenario), cell in ordered.groupby(["dataset", "scenario"], sort=False)
    }


def headlines(summary: pd.DataFrame, trials: pd.DataFrame) -> dict[str, str]:
    """The sentence of each cell, by ``dataset/scenario``.

    ``summary`` is that of ``summary.summarised``, of the reported ``trials``. Seeds of two models
    have nothing in common: those counted lie above the other model's mean.
    """
    names = {label: look.name for label, look in style.model_styles(summary["model"]).items()}
    found: dict[str, str] = {}
    for _, cell in summary.groupby(["dataset", "scenario"], sort=False):
        dataset, scenario = str(cell["dataset"].iloc[0]), int(cell["scenario"].iloc[0])
        rows = cell.sort_values("mean", ascending=False, kind="stable").to_dict("records")
        where = f"{style.dataset_name(dataset)}, {style.scenario_name(scenario)}"
        first = rows[0]
        reached = f"{names[first['model']]}: {_mean(first)}"
        if len(rows) == 1:
            found[f"{dataset}/{scenario}"] = f"On {where}, {reached}, the only model that was run."
            continue
        second = rows[1]
        own = trials[
            (trials["dataset"] == dataset)
            & (trials["scenario"] == scenario)
            & (trials["model"] == first["model"])
        ]
        above = int((own["test_accuracy"] > second["mean"]).sum())
        found[f"{dataset}/{scenario}"] = (
            f"{names[first['model']]} is best on {where}: {_mean(first)}; {above} of "
            f"{counted(first['seeds'], 'seed')} above the mean of {names[second['model']]}, "
            f"which comes next with {percent(second['mean'])} %."
        )
    return found


def _mean(row: dict[Any, Any]) -> str:
    """A mean with its interval, or with the reason why it has none."""
    mean = f"{percent(row['mean'])} %"
    if math.isnan(row["mean_low"]):
        return f"{mean} (a single seed, no interval)"
    return f"{mean} [{percent(row['mean_low'])}, {percent(row['mean_high'])}]"
