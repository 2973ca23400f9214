"""SQL over the results tables. Reads only; SQL reaches neither files nor the network."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import count
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import csv

from analysis.errors import AnalysisError
from analysis.results import cells, studies
from analysis.tables import parquet, parts, schemas
from tune_jobs.storage import Storage

REPORTED = "reported"  # what tables and figures average: see ``cells.reported``, ``cells.labelled``
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

    The tables are those of ``schemas.SCHEMAS`` and REPORTED. Columns of one name are numbered.
    Raises AnalysisError for SQL that does not parse, that would change something, or that tries to
    read or write a file.
    """
    store = Storage(results)
    present = [name for name in schemas.SCHEMAS if store.exists(parquet.table_key(name))]
    if not present:
        parquet.read("trials", store)  # says what is missing and how to make it
    with duckdb.connect(config=_LOCKED) as connection:
        for name in present:
            connection.register(name, _rows(name, store))
        if REPORTED in sql.lower():
            connection.register(REPORTED, _reported(store))
        try:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                kinds = ", ".join(statement.type.name for statement in statements)
                raise AnalysisError(f"A query must be one SELECT; got {kinds or 'no statement'}.")
            answer = connection.sql(sql).to_arrow_table()
            return answer.rename_columns(_numbered(answer.column_names))
        except duckdb.Error as error:
            raise AnalysisError(
                f"SQL must run over the tables {', '.join((REPORTED, *present))}; it does not: "
                f"{error}"
            ) from None


def _rows(name: str, store: Storage) -> pa.Table | ds.Dataset:
    """A table whole, or one in parts, of which only what the query asks for is read."""
    if name not in schemas.PARTED:
        return parquet.read(name, store)
    return parts.dataset(name, parquet.read("evaluations", store), store)


def _reported(store: Storage) -> pa.Table:
    """The trials that tables and figures average, of all sources, columns as in ``trials``."""
    of_studies, chosen, trials = (
        parquet.read_if_any(name, store).to_pandas() for name in ("study_points", "cells", "trials")
    )
    kept = cells.labelled(cells.reported(trials, studies.points(of_studies, chosen)))
    return pa.Table.from_pandas(kept, schema=schemas.SCHEMAS["trials"], preserve_index=False)


def _numbered(names: Sequence[str]) -> list[str]:
    """Names that differ: a repeated one gets the first free number.

    >>> _numbered(["lr", "lr", "lr_2", "lr"])
    ['lr', 'lr_3', 'lr_2', 'lr_4']
    """
    made: list[str] = []
    for name in names:
        numbers = (f"{name}_{number}" for number in count(2))
        made.append(next(n for n in numbers if n not in {*names, *made}) if name in made else name)
    return made


def _csv(answer: pa.Table) -> bytes:
    for column in answer.schema:
        if pa.types.is_nested(column.type):
            raise AnalysisError(
                f"A column of a CSV file must hold single values; {column.name} holds "
                f"{column.type}. Ask for json or parquet, or unnest it."
            )
    buffer = io.BytesIO()
    csv.write_csv(answer, buffer)
    return buffer.getvalue()


def _json(answer: pa.Table) -> bytes:
    return (json.dumps(_plain(answer.to_pylist()), default=str, indent=1) + "\n").encode()


def _plain(value: Any) -> Any:
    """The value as JSON has it: a number that is none is null, a decimal one a number."""
    match value:
        case dict():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def _parquet(answer: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(answer, buffer)
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[pa.Table], bytes]] = MappingProxyType(
    {"csv": _csv, "json": _json, "parquet": _parquet}
)
