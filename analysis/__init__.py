"""Analysis of trial records: results tables, statistics, figures and a report."""

from analysis.errors import AnalysisError
from analysis.tables.parquet import load

__all__ = ["AnalysisError", "load"]
