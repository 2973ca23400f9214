"""From records to answers: tables, statistics, figures, a report."""

from analysis.errors import AnalysisError
from analysis.tables.parquet import load

__all__ = ["AnalysisError", "load"]
