"""SQL over the results tables. It reads only, and reaches neither files nor the network."""

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from analysis.errors import AnalysisError
from analysis.results.reporting import REPORTED, reported_trials
from analysis.tables import parquet, parts, schemas
from stir.terminal import near
from tune_jobs.storage import Storage

MOST_BYTES = 2**30  # of an answer
MOST_SECONDS = 600.0  # that a query may take, unless the caller says otherwise
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "memory_limit": "2GB",
}
# DuckDB's types that Arrow or a file cannot hold; their values are answered as text.
_AS_TEXT = re.compile(r"\b(INTERVAL|BIT|TIME WITH TIME ZONE|TIMETZ|VARINT|BIGNUM|VARIANT|UHUGEINT)")
_ROWS_TOGETHER = 2**16


def query(sql: str, results: str = "results", *, most_seconds: float = MOST_SECONDS) -> pa.Table:
    """Answer one SELECT (DuckDB's SQL) over the tables that ``results`` holds.

    The tables are those of ``schemas.SCHEMAS`` and REPORTED. Columns of one name are numbered, and
    times are UTC whatever the machine's zone. Intervals, bits and times of day with a zone come as
    text. Raises AnalysisError for SQL that does not parse, that would change something, that tries
    to read or write a file, that takes longer than ``most_seconds`` or more than 2 GB, or whose
    answer is larger than MOST_BYTES or holds dates out of the years 1 to 9999.
    """
    store = Storage(results)
    present = [name for name in schemas.SCHEMAS if store.exists(parquet.table_key(name))]
    if not present:
        parquet.read("trials", store)  # says what is missing and how to make it
    with duckdb.connect(config=_SETTINGS) as connection:
        connection.execute("set TimeZone = 'UTC'; set lock_configuration = true")
        for name in present:
            connection.register(name, _rows(name, store))
        if REPORTED in sql.lower():
            connection.register(REPORTED, reported_trials(store))
        try:
            answer = _interruptible(connection, sql, most_seconds)
        except duckdb.Error as error:
            raise AnalysisError(
                f"SQL must run over the tables {', '.join((REPORTED, *present))}; it does not: "
                f"{_reason(error, (REPORTED, *present))}"
            ) from None
        except pa.ArrowException as error:
            raise AnalysisError(
                f"The values of an answer must fit its columns; one does not: {error}."
            ) from None
    _check_dates(answer)
    return answer


def _reason(error: duckdb.Error, tables: Sequence[str]) -> str:
    """What DuckDB says; of a table that is not there with a hint at one of ours, not of its own."""
    missing = re.search(r"Table with name (.+) does not exist!", str(error))
    return f"{missing[0]}{near(missing[1], tables)}" if missing else str(error)


def _interruptible(
    connection: duckdb.DuckDBPyConnection, sql: str, most_seconds: float
) -> pa.Table:
    """The answer, worked out in a thread, so that Ctrl-C and the clock can end it."""
    deadline = time.monotonic() + most_seconds
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_answer, connection, sql, deadline)
        try:
            return answer.result(most_seconds)
        except TimeoutError:
            raise AnalysisError(
                f"A query must be answered within {most_seconds:g} s; this one was not. "
                "Recursive SQL needs a condition that ends it."
            ) from None
        finally:
            while not answer.done():
                connection.interrupt()
                time.sleep(0.01)


def _answer(connection: duckdb.DuckDBPyConnection, sql: str, deadline: float) -> pa.Table:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements)
        raise AnalysisError(f"A query must be one SELECT; got {kinds or 'no statement'}.")
    asked = statements[0].query.strip().rstrip(";")
    relation = connection.sql(asked)
    names, types = relation.columns, [str(kind) for kind in relation.types]
    if any(_AS_TEXT.search(kind) for kind in types):
        columns = [f"c{place}" for place in range(len(names))]
        shown = ", ".join(
            f"cast({column} as varchar)" if _AS_TEXT.search(kind) else column
            for column, kind in zip(columns, types, strict=True)
        )
        renamed = f"(\n{asked}\n) as answer({', '.join(columns)})"
        relation = connection.sql(f"select {shown} from {renamed}")
    reader = relation.to_arrow_reader(_ROWS_TOGETHER)
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > MOST_BYTES:
            raise AnalysisError(
                f"An answer must hold at most {MOST_BYTES / 2**20:.0f} MB; this one is larger. "
                "Aggregate, or add a LIMIT."
            )
        if time.monotonic() > deadline:
            break  # the caller has gone
    table = pa.Table.from_batches(batches, schema=reader.schema)
    return table.rename_columns(_numbered(names))


def _rows(name: str, store: Storage) -> pa.Table | ds.Dataset:
    """A table whole, or one in parts, of which only what the query asks for is read."""
    if name not in schemas.PARTED:
        return parquet.read(name, store)
    return parts.dataset(name, parquet.read("evaluations", store), store)


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


_DAYS = (-719_162, 2_932_896)  # from 1970 to the years 1 and 9999
_IN_A_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def _check_dates(answer: pa.Table) -> None:
    """Raise AnalysisError for dates and times that no format but SQL's own can write."""
    for name, column in zip(answer.column_names, answer.columns, strict=True):
        kind = column.type
        if pa.types.is_date32(kind):
            numbers, unit = column.cast(pa.int32()), 1
        elif pa.types.is_timestamp(kind):
            numbers, unit = column.cast(pa.int64()), _IN_A_DAY[kind.unit]
        else:
            continue
        if column.null_count == len(column):
            continue
        known = numbers.drop_null().to_numpy()
        low, high = int(known.min()), int(known.max())
        if not _DAYS[0] * unit <= low <= high < (_DAYS[1] + 1) * unit:
            raise AnalysisError(
                f"A date or time in an answer must lie in the years 1 to 9999; {name} holds one "
                f"that does not, such as infinity. Ask for it as text: {name}::varchar."
            )
