"""SQL over the results tables. Reads only; SQL reaches neither files nor the network."""

import io
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import csv

from analysis import parts, schemas, tables
from analysis.errors import AnalysisError
from tune_jobs.storage import Storage

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "lock_configuration": "true",
}


def query(sql: str, results: str = "results") -> pa.Table:
    """Answer one SELECT (DuckDB's SQL) over the tables that ``results`` holds.

    The tables are those of ``schemas.SCHEMAS``. Raises AnalysisError for SQL that does not parse,
    that would change something, or that tries to read or write a file.
    """
    store = Storage(results)
    present = [name for name in schemas.SCHEMAS if store.exists(tables.table_key(name))]
    if not present:
        tables.read("trials", store)  # says what is missing and how to make it
    with duckdb.connect(config=_LOCKED) as connection:
        for name in present:
            connection.register(name, _rows(name, store))
        try:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                kinds = ", ".join(statement.type.name for statement in statements)
                raise AnalysisError(f"A query must be one SELECT; got {kinds or 'no statement'}.")
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise AnalysisError(
                f"SQL must run over the tables {', '.join(present)}; it does not: {error}"
            ) from None


def _rows(name: str, store: Storage) -> pa.Table | ds.Dataset:
    """A table whole, or one in parts, of which only what the query asks for is read."""
    if name not in schemas.PARTED:
        return tables.read(name, store)
    return parts.dataset(name, tables.read("evaluations", store), store)


def _csv(answer: pa.Table) -> bytes:
    buffer = io.BytesIO()
    csv.write_csv(answer, buffer)
    return buffer.getvalue()


def _json(answer: pa.Table) -> bytes:
    return (json.dumps(answer.to_pylist(), default=str, indent=1) + "\n").encode()


def _parquet(answer: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(answer, buffer)
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[pa.Table], bytes]] = MappingProxyType(
    {"csv": _csv, "json": _json, "parquet": _parquet}
)
