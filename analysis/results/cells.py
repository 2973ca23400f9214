"""Select the trials that may be averaged: the reported ones of a cell, all run alike."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import style

CELL = ["model", "dataset", "scenario"]

# What must be equal for two trials of a cell to be seeds of one experiment, and how a label says
# that it is not. The learning rate is not among them: `reported` leaves one per cell.
_SETTINGS = {
    "kernel_size": "k={}",
    "interpolation": "{}",
    "max_epochs": "epochs≤{}",
    "patience": "patience={}",
    "batch_size": "batch={}",
    "on_divergence": "{} at divergence",
    "model_version": "version {}",
    "protocol_version": "protocol {}",
}
_RATE_CELL = ["source", *CELL, *_SETTINGS, "dataset_fingerprint"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RateChoice:
    """Which learning rate of a cell is reported: the one with the largest median, and of what."""

    source: str
    model: str
    dataset: str
    scenario: int
    lr: float
    shared_seeds: int
    medians: Mapping[float, float]  # best validation accuracy, by learning rate
    point_ids: tuple[str, ...]  # of the trials at the chosen rate


def reported(trials: pd.DataFrame, study_points: pd.DataFrame) -> pd.DataFrame:
    """The finished trials at one learning rate per cell: see ``eligible`` and ``rate_choices``."""
    finished = eligible(trials, study_points)
    if finished.empty:
        return finished
    rates = finished.groupby(_RATE_CELL, dropna=False)["lr"].transform("nunique")
    chosen = [point_id for choice in rate_choices(finished) for point_id in choice.point_ids]
    return finished[(rates == 1) | finished["point_id"].isin(chosen)]


def eligible(trials: pd.DataFrame, study_points: pd.DataFrame) -> pd.DataFrame:
    """The finished trials without those that studies decided against.

    These are the points that some study lists and none reports (losing learning rates, searches)
    and, in a cell of which a study reports points, all trials at other rates than those points'.
    """
    counts = study_points.groupby("point_id")["reported"].any().astype(bool)
    of_study = trials["point_id"].isin(counts.index[counts])
    seats = pd.MultiIndex.from_frame(trials[[*_RATE_CELL, "lr"]])
    cells = pd.MultiIndex.from_frame(trials[_RATE_CELL])
    kept = seats.isin(seats[of_study]) | ~cells.isin(cells[of_study])
    kept &= ~trials["point_id"].isin(counts.index[~counts])
    return trials[kept & (trials["status"] == "finished")]


def rate_choices(trials: pd.DataFrame) -> list[RateChoice]:
    """What is reported of each cell with several learning rates, where no study chose one of them.

    The published rule: the larger median best validation accuracy over the seeds that all rates
    have (all their seeds, if they share none); the smaller rate on a tie. Test accuracies play no
    part. Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.3.
    """
    finished = trials[trials["status"] == "finished"]
    cells = finished.groupby(_RATE_CELL, dropna=False)
    return [_choice(cell) for _, cell in cells if cell["lr"].nunique() > 1]


def _choice(cell: pd.DataFrame) -> RateChoice:
    seeds = [set(runs["seed"]) for _, runs in cell.groupby("lr")]
    shared = set.intersection(*seeds)
    judged = cell[cell["seed"].isin(sorted(shared))] if shared else cell
    medians = {
        float(str(rate)): float(runs["best_valid_accuracy"].median())
        for rate, runs in judged.groupby("lr")  # ascending, so that max takes the smaller on a tie
    }
    lr = max(medians, key=lambda rate: medians[rate])
    first = cell.iloc[0]
    return RateChoice(
        source=first["source"],
        model=first["model"],
        dataset=first["dataset"],
        scenario=int(first["scenario"]),
        lr=lr,
        shared_seeds=len(shared),
        medians=medians,
        point_ids=tuple(cell.loc[cell["lr"] == lr, "point_id"]),
    )


def failed_beside(reported: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The failed ones of ``trials`` that would have been in a mean of ``reported``.

    These share a reported trial's cell, settings and learning rate. ``model`` is the label that
    ``reported`` has for it (see ``labelled``).
    """
    how = [*_RATE_CELL, "lr"]
    labels = reported.assign(label=reported["model"])
    by_model = trials.loc[trials["point_id"].isin(reported["point_id"]), ["point_id", "model"]]
    labels = labels.drop(columns="model").merge(by_model, on="point_id")
    labels = labels[[*how, "label"]].drop_duplicates(how)
    failed = trials[trials["status"] == "failed"].merge(labels, on=how)
    return failed.assign(model=failed["label"]).drop(columns="label")


def counts_by_cell(trials: pd.DataFrame) -> dict[Hashable, int]:
    """How many of the trials each cell has, by the values of ``CELL``."""
    return trials.groupby(CELL).size().to_dict()


def labelled(trials: pd.DataFrame) -> pd.DataFrame:
    """The same trials, with ``model`` saying how a model was run where that differs in the frame.

    ``pixel_pool`` run with kernels of 7 and 11 pixels becomes two models, ``pixel_pool k=7`` and
    ``pixel_pool k=11``; published runs beside ours are ``pixel_pool published``. So nothing that
    was run in different ways is ever averaged.
    """
    trials = trials.copy()
    if trials.empty:
        return trials
    label = trials["model"].astype(str)
    for name, form in _SETTINGS.items():
        differs = trials.groupby(["source", "model"])[name].transform("nunique", dropna=False) > 1
        label = label.where(~differs, label + trials[name].map(lambda v, f=form: _part(f, v)))
    data = trials.groupby(["source", "dataset"])["dataset_fingerprint"]
    short = trials["dataset_fingerprint"].map(lambda v: _part("data {:.6}", v))
    label = label.where(data.transform("nunique", dropna=False) <= 1, label + short)
    if trials["source"].nunique() > 1:
        label = label.where(trials["source"] != "published", label + " published")
    trials["model"] = label
    return trials


def in_order(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows by dataset, scenario and model, in the order of the figures."""
    models = {label: place for place, label in enumerate(style.model_styles(cells["model"]))}
    datasets = style.ordered(cells["dataset"], style.DATASETS)
    order = pd.DataFrame(
        {
            "dataset": cells["dataset"].map(datasets.index),
            "scenario": cells["scenario"],
            "model": cells["model"].map(models),
        }
    )
    return cells.loc[order.sort_values(["dataset", "scenario", "model"]).index]


def _part(form: str, value: Any) -> str:
    """What a label says of a setting; nothing where a trial has none."""
    if pd.isna(value):
        return ""
    return " " + form.format(int(value) if isinstance(value, float) else value)
