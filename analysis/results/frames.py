"""Results as pandas frames, for notebooks and scripts: a table whole, or the answer to a query."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa

from analysis.errors import AnalysisError
from analysis.results import query as sql_query
from analysis.results.reporting import REPORTED, reported_trials
from analysis.tables import parquet
from analysis.tables.schemas import SCHEMAS
from stir.terminal import near
from tune_jobs.storage import Storage


def load(name: str, results: str | Path = "results") -> pd.DataFrame:
    """One results table as a pandas frame.

    ``name`` is one of ``tables.schemas.SCHEMAS``, whose columns the frame has, or ``reported``: the
    trials that figures and tables average, one learning rate a cell, columns as in ``trials``.
    AnalysisError for a name that is no table's, and for a table that is not there or not whole. Of
    ``pool_scales`` (a million rows for a trial on mnist) ``query`` takes what is asked for without
    holding the rest.
    """
    if name == REPORTED:
        parquet.read("trials", Storage(results))  # says what is missing and how to make it
        return reported_trials(Storage(results)).to_pandas()
    if name not in SCHEMAS:
        known = [*SCHEMAS, REPORTED]
        raise AnalysisError(
            f"A table must be one of {', '.join(known)}; got {name!r}.{near(name, known)}"
        )
    return parquet.load(name, str(results))


def query(
    sql: str, results: str | Path = "results", *, most_seconds: float = sql_query.MOST_SECONDS
) -> pd.DataFrame:
    """The answer to one SELECT (DuckDB's SQL) over the results tables, as a pandas frame.

    The tables are those that ``load`` knows. Sums of whole numbers are whole numbers. What may be
    asked, how long it may take and which AnalysisError says otherwise: ``results.query``.
    """
    answer = sql_query.query(sql, str(results), most_seconds=most_seconds)
    frame = answer.to_pandas()
    for place, column in enumerate(answer.schema):
        if pa.types.is_decimal(column.type):  # Python's, which neither NumPy nor pandas sums fast
            frame.isetitem(place, _numbers(frame.iloc[:, place]))
    return frame


def _numbers(decimals: pd.Series) -> pd.Series:
    """Decimal numbers as int64 where all are whole, known and fit, else as float64."""
    values = decimals.tolist()
    if all(isinstance(one, Decimal) and one == int(one) and abs(one) < 2**63 for one in values):
        return pd.Series([int(one) for one in values], dtype="int64")
    return pd.Series([None if one is None else float(one) for one in values], dtype="float64")
