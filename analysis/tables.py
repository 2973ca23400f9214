"""The schema of each results table; reading and writing them as Parquet."""

import io
from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.errors import AnalysisError
from tune_jobs.storage import Storage

SCHEMA_VERSION = 1

_TIME = pa.timestamp("us", tz="UTC")
_TRIALS = {
    "point_id": pa.string(),  # "mlflow-" + run_id for published runs
    "source": pa.string(),  # ours, published
    "model": pa.string(),
    "dataset": pa.string(),
    "scenario": pa.int64(),
    "kernel_size": pa.int64(),  # pixels
    "interpolation": pa.string(),  # null for models that do not use it
    "lr": pa.float64(),
    "seed": pa.int64(),
    "max_epochs": pa.int64(),
    "patience": pa.int64(),  # epochs
    "batch_size": pa.int64(),
    "status": pa.string(),  # finished, failed
    "error": pa.string(),
    "num_classes": pa.int64(),
    "num_parameters": pa.int64(),
    "epochs": pa.int64(),
    "best_epoch": pa.int64(),
    "best_valid_accuracy": pa.float64(),
    "collapsed": pa.bool_(),  # best validation accuracy below twice chance
    "test_accuracy": pa.float64(),
    "test_loss": pa.float64(),
    "last_train_loss": pa.float64(),
    "last_train_accuracy": pa.float64(),
    "last_valid_loss": pa.float64(),
    "last_valid_accuracy": pa.float64(),
    "epoch_seconds": pa.float64(),  # mean over the epochs
    "last_epoch_seconds": pa.float64(),
    "wall_seconds": pa.float64(),
    "started_at": _TIME,
    "finished_at": _TIME,
    "resumed": pa.int64(),  # how often the trial went on from a checkpoint
    "device": pa.string(),
    "threads": pa.int64(),
    "host": pa.string(),
    "code_version": pa.string(),
    "git_sha": pa.string(),
    "git_dirty": pa.bool_(),
    "torch_version": pa.string(),
    "ray_version": pa.string(),
    "dataset_fingerprint": pa.string(),
    "model_version": pa.string(),
    "protocol_version": pa.int64(),
}
_EPOCHS = {
    "point_id": pa.string(),
    "epoch": pa.int64(),
    "train_loss": pa.float64(),
    "train_accuracy": pa.float64(),
    "valid_loss": pa.float64(),
    "valid_accuracy": pa.float64(),
    "seconds": pa.float64(),
}
_SCALE_ACCURACY = {
    "point_id": pa.string(),
    "scale": pa.int64(),  # object side in pixels
    "correct": pa.int64(),
    "total": pa.int64(),
    "accuracy": pa.float64(),
    "loss_sum": pa.float64(),
}
_STUDY_POINTS = {
    "study": pa.string(),
    "phase": pa.string(),
    "point_id": pa.string(),
    "reported": pa.bool_(),  # false for a learning rate that was not chosen
}
_CELLS = {
    "study": pa.string(),
    "phase": pa.string(),
    "model": pa.string(),
    "dataset": pa.string(),
    "scenario": pa.int64(),
    "kernel_size": pa.int64(),  # pixels
    "interpolation": pa.string(),
    "rule": pa.string(),
    "lr": pa.float64(),  # null where the rule could not decide
    "undecided": pa.string(),  # why not, else empty
    "evidence": pa.string(),  # JSON: each learning rate's runs and their median
}

SCHEMAS: Mapping[str, pa.Schema] = MappingProxyType(
    {
        "trials": pa.schema(_TRIALS),
        "epochs": pa.schema(_EPOCHS),
        "scale_accuracy": pa.schema(_SCALE_ACCURACY),
        "study_points": pa.schema(_STUDY_POINTS),
        "cells": pa.schema(_CELLS),
    }
)
OF_TRIALS = ("epochs", "scale_accuracy", "trials")  # trials last: they say what has been collected
OF_STUDIES = ("study_points", "cells")
KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "trials": ("point_id",),
        "epochs": ("point_id", "epoch"),
        "scale_accuracy": ("point_id", "scale"),
        "study_points": ("study", "phase", "point_id"),
        "cells": ("study", "phase", "model", "dataset", "scenario", "kernel_size", "interpolation"),
    }
)


def table_key(name: str) -> str:
    """Where a table lies in a results folder; AnalysisError for a name that is no table's."""
    if name not in SCHEMAS:
        raise AnalysisError(f"A table must be one of {', '.join(SCHEMAS)}; got {name!r}.")
    return f"{name}.parquet"


def load(name: str, results: str = "results") -> pd.DataFrame:
    """One results table as a pandas frame; the columns are those of ``SCHEMAS[name]``."""
    return read(name, Storage(results)).to_pandas()


def read(name: str, results: Storage) -> pa.Table:
    """One results table, checked against its schema and its own row count."""
    key = table_key(name)
    try:
        data = results.read(key)
    except FileNotFoundError:
        raise AnalysisError(
            f"Results must hold the table {name!r}; {results.uri} has no {key}. "
            "Make it with: stir-analysis collect --storage STORAGE --out RESULTS"
        ) from None
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise AnalysisError(
            f"{key} in {results.uri} must be a whole Parquet file; reading it failed: {error}"
        ) from None
    _check(table, name, f"{key} in {results.uri}")
    return table


def read_if_any(name: str, results: Storage) -> pa.Table:
    """Like ``read``, but an empty table when there is none yet."""
    if results.exists(table_key(name)):
        return read(name, results)
    return SCHEMAS[name].empty_table()


def write(name: str, table: pa.Table, results: Storage) -> None:
    """Store a table in the order of its key, with its schema version and row count."""
    keys = list(KEYS[name])
    distinct = table.group_by(keys).aggregate([]).num_rows
    if distinct != table.num_rows:
        raise AnalysisError(
            f"No two rows of {name} may share {', '.join(keys)}; "
            f"{table.num_rows - distinct} of {table.num_rows} rows are doubled."
        )
    table = table.select(SCHEMAS[name].names).cast(SCHEMAS[name])
    table = table.sort_by([(key, "ascending") for key in keys])
    marks = {"schema_version": str(SCHEMA_VERSION), "row_count": str(table.num_rows)}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(marks), buffer, compression="zstd")
    results.write(table_key(name), buffer.getvalue())


def extend(
    name: str, rows: pa.Table, replaced: pa.Array, results: Storage, *, by: str = "point_id"
) -> None:
    """Put rows into a table, in place of those whose column ``by`` is among ``replaced``."""
    old = read_if_any(name, results)
    kept = old.filter(~pc.field(by).isin(replaced))
    write(name, pa.concat_tables([kept.cast(SCHEMAS[name]), rows.cast(SCHEMAS[name])]), results)


def _check(table: pa.Table, name: str, where: str) -> None:
    marks = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    version = marks.get("schema_version")
    if version != str(SCHEMA_VERSION) or table.schema.names != SCHEMAS[name].names:
        raise AnalysisError(
            f"{where} must have the {name} schema of version {SCHEMA_VERSION}; "
            f"it has version {version} and {len(table.schema.names)} columns. Collect it again."
        )
    if marks.get("row_count") != str(table.num_rows):
        raise AnalysisError(
            f"{where} must hold as many rows as it says, {marks.get('row_count')}; "
            f"it holds {table.num_rows}. Collect it again."
        )
