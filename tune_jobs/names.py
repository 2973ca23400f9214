"""Look a name up in a table; the error of an unknown one lists those that are accepted."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from stir.terminal import near
from tune_jobs.errors import TuneJobsError

T = TypeVar("T")


def look_up(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return ``table[name]``; TuneJobsError names the nearest and all known ones otherwise."""
    if name in table:
        return table[name]
    raise TuneJobsError(f"No {kind} is called {name!r}.{did_you_mean(name, table)}")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A hint at the nearest known name, then all of them.

    >>> did_you_mean("modle", ["model", "seed"])
    " Did you mean 'model'? Known: model, seed."
    """
    names = list(known)
    return f"{near(str(name), names)} Known: {', '.join(names)}."
