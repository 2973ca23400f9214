"""The published results: an MLflow export -> the same tables as ours, and a summary that ships.

Source: Altstidl et al. (2023), arXiv:2211.10288.
"""

import csv
import gzip
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pyarrow as pa

from analysis.errors import AnalysisError
from analysis.tables import parquet, schemas
from stir.scenarios import SCALES, SCENARIOS
from tune_jobs.storage import Storage


def recipe_words(recipe: Mapping[str, int]) -> str:
    """A recipe for a sentence."""
    return (
        f"at most {recipe['max_epochs']} epochs, patience {recipe['patience']}, "
        f"batches of {recipe['batch_size']}"
    )


KERNEL_SIZE = 7  # pixels
INTERPOLATION = "bicubic"
RECIPE: Mapping[str, int] = MappingProxyType(
    {"max_epochs": 200, "patience": 10, "batch_size": 16}  # section 4.3
)
PROTOCOL = f"{recipe_words(RECIPE)}, kernels of {KERNEL_SIZE} pixels, {INTERPOLATION}"
# Classes, and test images at one scale. Source: Altstidl et al. (2023), Table 1.
_CLASSES = {"emoji": 36, "mnist": 10, "trafficsign": 16, "aerial": 9}
_IMAGES = {"emoji": 36, "mnist": 500, "trafficsign": 400, "aerial": 225}
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
    "epoch_seconds": "metrics.avg_time",
    "last_epoch_seconds": "metrics.train_time",
}
_COLUMNS = [
    *("run_id", "status", "start_time", "end_time", "tags.mlflow.source.git.commit"),
    *(_POINT | _PERCENT | _REAL).values(),
]
_SCALE_COLUMNS = {f"s{scale}": scale for scale in SCALES}


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
    ``by_scale`` one with a row per run and the columns s17 .. s64, accuracies 0..1. Published
    trials that ``out`` already has are replaced; ours stay.
    """
    found = Imported()
    trials = _trials(_read(export, _COLUMNS, found), export, found)
    scales = schemas.SCHEMAS["scale_accuracy"].empty_table()
    if by_scale is not None:
        wide = _read(by_scale, ["run_id", *_SCALE_COLUMNS], found)
        scales = _scales(wide, trials, by_scale, found)
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
    found.trials, found.by_scale = len(trials), scales.num_rows // len(SCALES)
    found.cells = len(trials.drop_duplicates(["model", "dataset", "scenario"]))
    return found


def summary() -> pd.DataFrame:
    """The published results by cell, as shipped: fractions 0..1, seconds; one row per cell.

    Made from the published 5,500 runs by ``summary.summarised``.
    """
    with as_file(files("analysis.results").joinpath("published_summary.csv")) as path:
        return pd.read_csv(path)


def _read(path: str, needed: list[str], found: Imported) -> pd.DataFrame:
    """The rows of a CSV file, all text, indexed by line number; a line that is no row is named."""
    try:
        data = Path(path).read_bytes()
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise AnalysisError(f"An export must be a whole file; {path} is not: {error}.") from None
    head, *lines = data.decode("utf-8-sig", errors="replace").splitlines() or [""]
    names = next(csv.reader([head]), [])
    if missing := [name for name in needed if name not in names]:
        raise AnalysisError(
            f"An export must be CSV with the columns {', '.join(needed)}; "
            f"{path} lacks {', '.join(missing)}."
        )
    rows: dict[int, list[str]] = {}
    for number, line in enumerate(lines, start=2):
        values = _fields(line)
        if len(values) == len(names):
            rows[number] = values
        elif line:
            found.left_out.append(
                f"{path} line {number}: a row must have {len(names)} fields; it has {len(values)}."
            )
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    return frame[needed].astype(str)


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return []


class _Sieve:
    """Rows that can be used; each that cannot is named with the first rule that it breaks."""

    def __init__(self, rows: pd.DataFrame, path: str, found: Imported) -> None:
        self.rows, self._path, self._found = rows, path, found

    def keep(self, good: pd.Series, rule: str, name: str) -> None:
        """Go on with the rows that are ``good``; ``name`` is the column that the rule is about."""
        for line, value in self.rows.loc[~good, name].items():
            self._found.left_out.append(f"{self._path} line {line}: {rule}; got {value!r:.60}.")
        self.rows = self.rows[good].copy()

    def number(self, name: str, *, low: float, high: float, whole: bool = False) -> None:
        """Turn a column into numbers within ``low`` .. ``high``."""
        values = pd.to_numeric(self.rows[name], errors="coerce")
        good = values.between(low, high) & ((values % 1 == 0) if whole else True)
        kind = "a whole number" if whole else "a number"
        self.keep(good, f"{name} must be {kind} in {low:g} .. {high:g}", name)
        self.rows[name] = values[good].astype("int64" if whole else "float64")

    def time(self, name: str) -> None:
        """Turn a column into times, with or without fractions of a second or a zone (then UTC)."""
        values = pd.to_datetime(self.rows[name], errors="coerce", utc=True, format="ISO8601")
        self.keep(values.notna(), f"{name} must be an ISO 8601 time", name)
        self.rows[name] = values[values.notna()].astype("datetime64[us, UTC]")


def _trials(rows: pd.DataFrame, path: str, found: Imported) -> pd.DataFrame:
    sieve = _Sieve(rows, path, found)
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
    chance = 1 / trials["dataset"].map(_CLASSES)
    collapsed = (trials["best_valid_accuracy"] < 2 * chance).astype("boolean")
    trials["collapsed"] = collapsed.mask(chance.isna())
    trials["started_at"], trials["finished_at"] = rows["start_time"], rows["end_time"]
    trials["wall_seconds"] = (rows["end_time"] - rows["start_time"]).dt.total_seconds()
    trials["resumed"] = 0
    trials["git_sha"] = rows["tags.mlflow.source.git.commit"].replace("", None)
    return trials


def _scales(rows: pd.DataFrame, trials: pd.DataFrame, path: str, found: Imported) -> pa.Table:
    """The scale_accuracy table from a by-scale file; counts where the dataset's size is known."""
    sieve = _Sieve(rows, path, found)
    first = ~rows["run_id"].duplicated()
    sieve.keep(first, "a run_id must come once; an earlier line has this one", "run_id")
    known = ("mlflow-" + sieve.rows["run_id"]).isin(trials["point_id"])
    sieve.keep(known, "a run must be one of the export's trials", "run_id")
    for name in _SCALE_COLUMNS:
        sieve.number(name, low=0, high=1)
    long = sieve.rows.melt("run_id", list(_SCALE_COLUMNS), var_name="scale", value_name="accuracy")
    long["point_id"] = "mlflow-" + long["run_id"]
    long["scale"] = long["scale"].map(_SCALE_COLUMNS)
    datasets = trials.set_index("point_id")["dataset"]
    long["total"] = long["point_id"].map(datasets).map(_IMAGES).astype("Int64")
    long["correct"] = (long["accuracy"] * long["total"]).round().astype("Int64")
    return _arrow(long, "scale_accuracy")


def _arrow(frame: pd.DataFrame, name: str) -> pa.Table:
    schema = schemas.SCHEMAS[name]
    return pa.Table.from_pandas(
        frame.reindex(columns=schema.names), schema=schema, preserve_index=False
    )
