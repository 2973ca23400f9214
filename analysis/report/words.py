"""Drawn figures in words, from their numbers, for those who do not see them."""

import pandas as pd

from analysis import style
from analysis.report.table import percent
from analysis.results.folder import ResultsFolder
from analysis.results.summary import ranked

_MOST = 3  # models of a cell that are named
_OF_ACCURACY = ("overview", "generalization", "boxes", "learning")


def alt_text(name: str, title: str, folder: ResultsFolder) -> str:
    """What the figure of that name shows."""
    if name == "ranks":
        ranks = ranked(folder.trials).ranking.ranks
        looks = style.model_styles(ranks)
        listed = ", ".join(f"{looks[model].name} {rank:.2f}" for model, rank in ranks.items())
        return f"{title}: {listed}."
    if name in _OF_ACCURACY:
        return f"{title}. Best mean test accuracies: {_cells(folder.summary, 'mean')}."
    timed = folder.summary[folder.summary["train_seconds"].notna()]
    if name == "time" and len(timed):
        return f"{title}. Fastest: {_cells(timed, 'train_seconds')}."
    return f"{title}. The numbers are in the tables below."


def _cells(summary: pd.DataFrame, value: str) -> str:
    """The first models of each dataset and scenario with their values."""
    looks = style.model_styles(summary["model"])
    parts: list[str] = []
    for _, cell in summary.groupby(["dataset", "scenario"], sort=False):
        dataset, scenario = str(cell["dataset"].iloc[0]), int(cell["scenario"].iloc[0])
        best = cell.sort_values(value, ascending=value != "mean", kind="stable").head(_MOST)
        listed = ", ".join(
            f"{looks[model].name} {f'{percent(one)} %' if value == 'mean' else f'{one:.3g} s'}"
            for model, one in zip(best["model"], best[value], strict=True)
        )
        parts.append(f"{style.dataset_name(dataset)}, {style.scenario_name(scenario)}: {listed}")
    return "; ".join(parts)
