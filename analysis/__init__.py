"""Analysis of trial records: results tables, statistics, figures and a report."""

from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from analysis.tables.parquet import load

__all__ = ["AnalysisError", "load"]


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analysis.tables.parquet import load  # when asked for: pandas takes a second

    return load
