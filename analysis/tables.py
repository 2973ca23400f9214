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

SCHEMAS: Mapping[str, pa.Schema] = MappingProxyType(
    {
        "trials": pa.schema(_TRIALS),
        "epochs": pa.schema(_EPOCHS),
        "scale_accuracy": pa.schema(_SCALE_ACCURACY),
    }
)
KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "trials": ("point_id",),
        "epochs": ("point_id", "epoch"),
        "scale_accuracy": ("point_id", "scale"),
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


def extend(name: str, rows: pa.Table, point_ids: pa.Array, results: Storage) -> int:
    """Put the rows of some points into a table, in place of what it holds of them.

    Returns how many rows the table has then.
    """
    old = read_if_any(name, results)
    kept = old.filter(~pc.field("point_id").isin(point_ids))
    table = pa.concat_tables([kept.cast(SCHEMAS[name]), rows.cast(SCHEMAS[name])])
    write(name, table, results)
    return table.num_rows


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
