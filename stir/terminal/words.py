"""Words that the sentences of all commands have in common: counts with nouns, hints at a name."""

from collections.abc import Iterable
from difflib import get_close_matches


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "point"), counted(2_000, "point"), counted(0, "entry", "entries")
    ('1 point', '2,000 points', '0 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def near(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest known name, to follow a sentence; nothing if none is near.

    >>> near("emojii", ["emoji", "mnist"])
    " Did you mean 'emoji'?"
    """
    found = get_close_matches(name, list(known), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
