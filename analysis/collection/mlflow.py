"""The published results: an MLflow export becomes rows of the same tables as our own.

Source: Altstidl et al. (2023), arXiv:2211.10288.
"""

import sys
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from analysis.collection.by_scale import read_by_scale
from analysis.collection.csv_rows import Sieve, read_rows
from analysis.errors import AnalysisError
from analysis.protocol import RECIPE
from analysis.results.reporting import store_reported
from analysis.tables import parquet, schemas
from stir.scenarios import SCALES, SCENARIOS
from tune_jobs.records.trial import has_collapsed
from tune_jobs.storage import Storage

# Source: Altstidl et al. (2023), Table 1.
_CLASSES = {"emoji": 36, "mnist": 10, "trafficsign": 16, "aerial": 9}
# The published runs name an interpolation for every model; these do not use it.
_IDLE = {"standard", "ensemble", "spatial_transform", "xu", "kanazawa", "hermite", "disco"}

# The trials table's columns, and an export's.
_POINT = {
    "model": "params.model",
    "dataset": "params.data",
    "scenario": "params.evaluation",
    "kernel_size": "params.kernel_size",
    "interpolation": "params.interpolation",
    "lr": "params.lr",
    "seed": "params.seed",
}
_PERCENT = {
    "test_accuracy": "metrics.test_acc",
    "best_valid_accuracy": "metrics.best_acc",
    "last_train_accuracy": "metrics.train_acc",
    "last_valid_accuracy": "metrics.val_acc",
}
_REAL = {
    "lr": "params.lr",
    "test_loss": "metrics.test_loss",
    "last_train_loss": "metrics.train_loss",
    "last_valid_loss": "metrics.val_loss",
    "train_seconds": "metrics.avg_time",
    "last_train_seconds": "metrics.train_time",
}
_COLUMNS = [
    *("run_id", "status", "start_time", "end_time", "tags.mlflow.source.git.commit"),
    *(_POINT | _PERCENT | _REAL).values(),
]


@dataclass(slots=True)
class Imported:
    """What an import found; ``left_out`` names each row that could not be used, and why."""

    trials: int = 0
    cells: int = 0
    by_scale: int = 0  # trials whose accuracy by scale was found too
    left_out: list[str] = field(default_factory=list)


def import_mlflow(export: str, out: str, *, by_scale: str | None = None) -> Imported:
    """Put an MLflow export into the tables of ``out``, with ``source = published``.

    ``export`` is a CSV file (or .csv.gz) in the published format, accuracies in percent;
    ``by_scale`` one with a row per run and the columns s17 .. s64, accuracies 0..1 (see
    ``by_scale.read_by_scale``). Published trials that ``out`` already has are replaced; ours stay.
    Raises AnalysisError, and changes nothing, for a file that cannot be read or has no usable row.
    """
    found = Imported()
    trials = _trials(read_rows(export, _COLUMNS, found.left_out), export, found.left_out)
    _require_rows(len(trials), export, found.left_out)
    scales = schemas.SCHEMAS["scale_accuracy"].empty_table()
    if by_scale is not None:
        scales = read_by_scale(by_scale, trials, found.left_out)
    parts = {
        "epochs": schemas.SCHEMAS["epochs"].empty_table(),
        "scale_accuracy": scales,
        "trials": _arrow(trials, "trials"),
    }
    results = Storage(out)
    for name in schemas.OF_TRIALS:
        old = parquet.read_if_any(name, results)["point_id"].unique().to_pylist()
        replaced = pa.array([id for id in old if id.startswith("mlflow-")], pa.string())
        parquet.extend(name, parts[name], pa.table({"point_id": replaced}), results)
    store_reported(results)
    found.trials, found.by_scale = len(trials), scales.num_rows // len(SCALES)
    found.cells = len(trials.drop_duplicates(["model", "dataset", "scenario"]))
    return found


def _require_rows(count: int, path: str, left_out: list[str]) -> None:
    if count == 0:
        first = f"; the first that is not: {left_out[0]}" if left_out else "; there is none."
        raise AnalysisError(f"{path} must hold at least one row that can be used{first}")


def _trials(rows: pd.DataFrame, path: str, left_out: list[str]) -> pd.DataFrame:
    sieve = Sieve(rows, path, left_out)
    sieve.keep(rows["run_id"] != "", "a run must have a run_id", "run_id")
    first = ~sieve.rows["run_id"].duplicated()
    sieve.keep(first, "a run_id must come once; an earlier line has this one", "run_id")
    sieve.keep(sieve.rows["status"] == "FINISHED", "a run must be FINISHED", "status")
    for name in ("params.model", "params.data"):
        sieve.keep(sieve.rows[name] != "", f"{name} must not be empty", name)
    sieve.number("params.evaluation", low=min(SCENARIOS), high=max(SCENARIOS), whole=True)
    sieve.number("params.kernel_size", low=1, high=64, whole=True)
    sieve.number("params.seed", low=0, high=2**53, whole=True)
    for name in _PERCENT.values():
        sieve.number(name, low=0, high=100)
    for name in _REAL.values():
        sieve.number(name, low=0, high=sys.float_info.max)
    for name in ("start_time", "end_time"):
        sieve.time(name)
    idle = sieve.rows["params.model"].isin(_IDLE)
    sieve.rows["params.interpolation"] = sieve.rows["params.interpolation"].mask(idle)
    first = ~sieve.rows.sort_values("start_time", kind="stable")[list(_POINT.values())].duplicated()
    rule = "a point must come once; an earlier run has this model, dataset, scenario, lr and seed"
    sieve.keep(first.sort_index(), rule, "params.seed")
    return _as_trials(sieve.rows)


def _as_trials(rows: pd.DataFrame) -> pd.DataFrame:
    """The trials table's columns from an export's, accuracies as fractions."""
    trials = pd.DataFrame({ours: rows[theirs] for ours, theirs in (_POINT | _REAL).items()})
    for ours, theirs in _PERCENT.items():
        trials[ours] = rows[theirs] / 100
    trials["point_id"] = "mlflow-" + rows["run_id"]
    trials["source"], trials["status"] = "published", "finished"
    for name, value in RECIPE.items():
        trials[name] = value
    trials["num_classes"] = trials["dataset"].map(_CLASSES).astype("Int64")
    collapsed = [
        None if pd.isna(classes) else has_collapsed(best, classes)
        for best, classes in zip(trials["best_valid_accuracy"], trials["num_classes"], strict=True)
    ]
    trials["collapsed"] = pd.array(collapsed, dtype="boolean")
    trials["started_at"], trials["finished_at"] = rows["start_time"], rows["end_time"]
    trials["wall_seconds"] = (rows["end_time"] - rows["start_time"]).dt.total_seconds()
    trials["resumed"] = 0
    trials["git_sha"] = rows["tags.mlflow.source.git.commit"].replace("", None)
    return trials


def _arrow(frame: pd.DataFrame, name: str) -> pa.Table:
    schema = schemas.SCHEMAS[name]
    return pa.Table.from_pandas(
        frame.reindex(columns=schema.names), schema=schema, preserve_index=False
    )
