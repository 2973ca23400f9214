"""Trials of the STIR benchmark: planned, run anywhere, resumed, kept as objects."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_jobs.evaluation import load_model

__all__ = ["load_model"]

_HOMES = {"load_model": "tune_jobs.evaluation"}  # imported when asked for: torch takes seconds


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
