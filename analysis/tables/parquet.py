"""Reading and writing results tables as Parquet, whole; ``parts`` does so piece by piece."""

import io
from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import AnalysisError
from analysis.tables import older, parts
from analysis.tables.schemas import KEYS, PARTED, SCHEMA_VERSION, SCHEMAS
from tune_jobs.storage import Storage

NAMING = frozenset({"point_id", "model", "dataset", "scenario"})  # by which rows are told apart


def table_key(name: str) -> str:
    """Where a table lies in a results folder, of one in parts the table that names them.

    AnalysisError for a name that is no table's.
    """
    if name not in SCHEMAS:
        raise AnalysisError(f"A table must be one of {', '.join(SCHEMAS)}; got {name!r}.")
    return "evaluations.parquet" if name in PARTED else f"{name}.parquet"


def load(name: str, results: str = "results") -> pd.DataFrame:
    """One results table as a pandas frame; the columns are those of ``schemas.SCHEMAS[name]``.

    Of a grid's ``pool_scales`` (a million rows for a trial on mnist) ``query`` takes what is asked
    for without holding the rest.
    """
    return read(name, Storage(results)).to_pandas()


def read(name: str, results: Storage) -> pa.Table:
    """One results table, checked against its schema and its own row count.

    Tables of schema version 2 are read, too: see ``older``.
    """
    if name in PARTED:
        return parts.read(name, read("evaluations", results), results)
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
    except (pa.ArrowException, OSError) as error:
        raise AnalysisError(
            f"{key} in {results.uri} must be a whole Parquet file; reading it failed: {error}"
        ) from None
    metadata = (table.schema.metadata or {}).items()
    marks = {
        key.decode(errors="replace"): value.decode(errors="replace") for key, value in metadata
    }
    _check(table, name, marks, f"{key} in {results.uri}")
    return older.brought_up(name, table) if older.is_older(name, table, marks) else table


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


def extend(name: str, rows: pa.Table, replaced: pa.Table, results: Storage) -> None:
    """Put rows into a table, in place of those that agree with a row of ``replaced``.

    ``replaced`` has some of the table's columns, such as ``point_id``.
    """
    old = read_if_any(name, results)
    kept = old.join(replaced, replaced.column_names, join_type="left anti")
    write(name, pa.concat_tables([kept.cast(SCHEMAS[name]), rows.cast(SCHEMAS[name])]), results)


def _check(table: pa.Table, name: str, marks: Mapping[str, str], where: str) -> None:
    version = marks.get("schema_version")
    present = version == str(SCHEMA_VERSION) and table.schema.names == SCHEMAS[name].names
    if not present and not older.is_older(name, table, marks):
        raise AnalysisError(
            f"{where} must have the {name} schema of version {SCHEMA_VERSION}; "
            f"it has version {version} and {len(table.schema.names)} columns. "
            "Collect into a new folder."
        )
    empty = [one for one in NAMING & set(table.column_names) if table[one].null_count]
    if present and empty:
        raise AnalysisError(
            f"{where} must have a value of {' and '.join(sorted(NAMING))} in every row, as far as "
            f"it has these columns; rows of {empty[0]} have none. Collect it again."
        )
    if marks.get("row_count") != str(table.num_rows):
        raise AnalysisError(
            f"{where} must hold as many rows as it says, {marks.get('row_count')}; "
            f"it holds {table.num_rows}. Collect it again."
        )
