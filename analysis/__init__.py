"""Analysis of trial records: results tables, statistics, figures and a report."""

from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from analysis.results.frames import load, query

__all__ = ["AnalysisError", "load", "query"]


def __getattr__(name: str) -> Any:
    if name not in ("load", "query"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analysis.results import frames  # when asked for: pandas takes a second

    return getattr(frames, name)
