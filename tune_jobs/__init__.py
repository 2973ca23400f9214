"""Trials of the STIR benchmark: planned, run anywhere, resumed, kept as objects."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_jobs.driver.search import run_search
    from tune_jobs.evaluation.measures import load_model
    from tune_jobs.frame import run_study
    from tune_jobs.plan.opened import open_study
    from tune_jobs.study.file import load_study

__all__ = ["load_model", "load_study", "open_study", "run_search", "run_study"]

_HOMES = {  # imported when asked for: torch takes seconds
    "load_model": "tune_jobs.evaluation.measures",
    "load_study": "tune_jobs.study.file",
    "open_study": "tune_jobs.plan.opened",
    "run_search": "tune_jobs.driver.search",
    "run_study": "tune_jobs.frame",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
