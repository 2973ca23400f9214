"""The error that the benchmark data raise for bad input, and its hint at a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches


class StirError(ValueError):
    """Bad input to the benchmark data: the rule, what came, and what would be accepted."""


def near(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest known name, to follow a sentence; nothing if none is near.

    >>> near("emojii", ["emoji", "mnist"])
    " Did you mean 'emoji'?"
    """
    found = get_close_matches(name, list(known), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
