"""Import the modules that register users' own models, wherever a trial may run."""

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from tune_jobs.errors import TuneJobsError


def import_models(modules: Iterable[str]) -> None:
    """Import modules that call ``siconvnet.register_model``; the current folder is searched too.

    Raises TuneJobsError for a module that is not there or cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever a user's module raises
            raise TuneJobsError(
                f"A module with models of your own must be importable; importing {module!r} gave "
                f"{type(error).__name__}: {error}."
            ) from error
