"""The answer to a query as the contents of a file: CSV, JSON or Parquet."""

import io
import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from analysis.errors import AnalysisError


def as_file(answer: pa.Table, kind: str) -> bytes:
    """The answer in one of FORMATS; AnalysisError for values that the format cannot hold."""
    try:
        return FORMATS[kind](answer)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        if isinstance(error, AnalysisError):
            raise
        raise AnalysisError(
            f"A {kind} file must be able to hold the answer; it is not: {error}. "
            "Ask for the column as text (::varchar)."
        ) from None


def rows_of(answer: pa.Table) -> list[dict[str, Any]]:
    """The answer row by row, as Python's values; AnalysisError for one that Python cannot hold."""
    try:
        return answer.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise AnalysisError(
            f"The values of an answer must be within Python's bounds; one is not: {error}. "
            "Ask for the column as text (::varchar)."
        ) from None


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
    return (json.dumps(_plain(rows_of(answer)), default=_text, indent=1) + "\n").encode()


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


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
