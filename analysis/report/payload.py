"""What the page's script knows: charts with their rows, tables, runs and their curves, as JSON."""

import base64
import gzip
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import style
from analysis.charts import specs
from analysis.charts.charts import Chart, Styles
from analysis.charts.looks import Looks
from analysis.charts.searches import SearchChart, search_charts
from analysis.report.headline import best_first, headlines
from analysis.results.folder import ResultsFolder
from stir.scenarios import SCALES, SCENARIOS

Json = dict[str, Any]

# What may differ between two runs, by column, and what a reader calls it.
SETTINGS: Mapping[str, str] = {
    "model": "model",
    "dataset": "dataset",
    "scenario": "scenario",
    "kernel_size": "kernel size [px]",
    "interpolation": "interpolation",
    "lr": "learning rate",
    "seed": "seed",
    "max_epochs": "most epochs",
    "patience": "patience",
    "batch_size": "batch size",
    "on_divergence": "at divergence",
    "num_parameters": "parameters",
    "epochs": "epochs trained",
    "best_epoch": "best epoch",
    "best_valid_accuracy": "best validation accuracy (0..1)",
    "test_accuracy": "test accuracy (0..1)",
    "train_seconds": "seconds of training per epoch",
    "resumed": "resumed",
    "device": "device",
    "threads": "threads",
    "backend": "backend",
    "host": "host",
    "code_version": "code",
    "torch_version": "PyTorch",
    "model_version": "model version",
    "protocol_version": "protocol version",
    "dataset_fingerprint": "dataset content",
}
_PAIR = Looks(["A", "B"], ["#2f6fb5", "#d55e00"], [[], [6, 3]], ["circle", "square"])


def packed(value: Json) -> str:
    """JSON, compressed, in letters that mean nothing to HTML. Equal values give equal text."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def columns(frame: pd.DataFrame) -> Json:
    """A frame as lists by column, every number in full; what is missing is null."""
    return {str(name): [_plain(value) for value in frame[name].tolist()] for name in frame.columns}


def payload(
    folder: ResultsFolder, charts: Iterable[Chart], tables: Mapping[str, pd.DataFrame]
) -> Json:
    """Everything that the script shows; ``tables`` by the ids that they have in the page."""
    trials = folder.reported
    styles = Styles.of(trials["model"])
    cells = trials[["dataset", "scenario"]].drop_duplicates()
    found = best_first(folder.summary) if len(trials) else {}
    return {
        "datasets": [
            [name, style.dataset_name(name)]
            for name in style.ordered(trials["dataset"], style.DATASETS)
        ],
        "scenarios": [
            [int(number), style.scenario_name(int(number))]
            for number in sorted(set(trials["scenario"]))
        ],
        "start": _start(cells),
        "cells": [[row.dataset, int(str(row.scenario))] for row in cells.itertuples()],
        "models": [
            {"label": label, "name": look.name, "colour": look.colour}
            for label, look in styles.by_label.items()
        ],
        "trained": {
            number: [{"from": one.train_scales[0] - 0.5, "to": one.train_scales[-1] + 0.5}]
            for number, one in SCENARIOS.items()
        },
        "charts": [_chart(chart) for chart in charts],
        "searches": [_search(chart) for chart in search_charts(folder.searches)],
        "headlines": headlines(folder.summary, trials) if len(trials) else {},
        "best": found,
        "tables": {name: columns(frame) for name, frame in tables.items()},
        "settings": dict(SETTINGS),
        "runs": columns(trials[["point_id", *SETTINGS]]),
        "curves": _curves(folder),
        "pair": _pair(),
        "paper": {
            "--ink": style.INK,
            "--page": "#ffffff",
            "--quiet": "#5c5c66",
            "--faint": style.FAINT,
            "--line": "#dcdce2",
            "--shade": style.SHADE,
        },
    }


def _chart(chart: Chart) -> Json:
    kept = {
        name: getattr(chart, name) for name in ("name", "spec", "value", "hint", "across", "unit")
    }
    return kept | {"rows": columns(chart.rows)}


def _search(chart: SearchChart) -> Json:
    kept = {
        name: getattr(chart, name) for name in ("study", "name", "title", "spec", "told", "hint")
    }
    return kept | {"rows": columns(chart.rows), "ticks": columns(chart.ticks)}


def _start(cells: pd.DataFrame) -> Json:
    """The cell that the page opens with: the first dataset's, Mid2Rest if it was run."""
    if cells.empty:
        return {"dataset": "", "scenario": 0}
    dataset = style.ordered(cells["dataset"], style.DATASETS)[0]
    scenarios = sorted(set(cells.loc[cells["dataset"] == dataset, "scenario"]))
    return {"dataset": dataset, "scenario": int(2 if 2 in scenarios else scenarios[0])}


def _curves(folder: ResultsFolder) -> Json:
    """Each run's own curves, in thousandths, in the order of the runs; null where none is known."""
    by_scale = _thousandths(folder, "scales", "scale", "accuracy")
    by_epoch = _thousandths(folder, "epochs", "epoch", "valid_accuracy")
    return {"xs": {"scale": list(SCALES)}, "scale": by_scale, "epoch": by_epoch}


def _thousandths(folder: ResultsFolder, frame: str, x: str, y: str) -> list[list[int] | None]:
    if folder.reported.empty:
        return []
    rows = getattr(folder, frame)
    rows = rows[rows[x].notna()].sort_values(["point_id", x])
    ints = (1000 * rows[y].fillna(0)).round().astype("int64")
    curves = {point_id: part.tolist() for point_id, part in ints.groupby(rows["point_id"])}
    return [curves.get(point_id) for point_id in folder.reported["point_id"]]


def _pair() -> list[Json]:
    axes = {"scale": ("object scale [px]", "generalization", "test accuracy"),
            "epoch": ("epoch", "learning", "validation accuracy")}  # fmt: skip
    return [
        {
            "name": name,
            "title": f"{y.capitalize()} by {x}",
            "across": x,
            "spec": specs.lines(
                _PAIR, x=x, title=title, y=y,
                told={x: (title, "d"), "mean": ("Accuracy", ".1%"), "seeds": ("Seeds", "d")},
                shaded=x == "scale",
            ),
        }
        for x, (title, name, y) in axes.items()
    ]  # fmt: skip


def _plain(value: Any) -> Any:
    """A value as JSON has it: what is missing or not finite is null, a time is text."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str) else str(value)
