"""Numbers, lists and tables as they stand in the page's Markdown."""

from collections.abc import Iterable, Sequence


def percent(share: float) -> str:
    """A share 0..1 in percent, without the sign.

    >>> percent(0.7253)
    '72.5'
    """
    return f"{100 * share:.1f}"


def interval(low: float, high: float, *, sign: str = "") -> str:
    """An interval of shares in percent; one that is not known is empty.

    >>> interval(0.701, 0.75), interval(-0.02, 0.031, sign="+")
    ('[70.1, 75.0]', '[-2.0, +3.1]')
    """
    return "" if low != low else f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def joined(words: Iterable[str]) -> str:
    """Words as a list in a sentence.

    >>> joined(["a"]), joined(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
