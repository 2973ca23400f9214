"""Types of the values in a YAML file, whatever key they stand under, checked before their use.

Which values a key may have is checked where it is read: ``axes``, ``recipe``, ``file``, ``search``.
"""

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean


def mapping(content: object, where: str, known: Iterable[str]) -> dict[str, Any]:
    """``content`` itself, a mapping that has no other than the known keys."""
    names = list(known)
    if not isinstance(content, dict):
        raise TuneJobsError(
            f"{where} must be a mapping with the keys {', '.join(names)}; got {content!r:.60}."
        )
    for key in content:
        if key not in names:
            raise TuneJobsError(f"{where} has no key {key!r:.60}.{did_you_mean(key, names)}")
    return content


def is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    try:
        return (
            not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
        )
    except OverflowError:  # an integer beyond every float
        return False


def number(value: object) -> float | None:
    """A finite number, also one that YAML 1.1 reads as text (1e-3, without a point); else None."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return value if is_number(value) else None


def check_count(value: object, where: str) -> int:
    """A whole number from 1."""
    if not is_whole(value) or value < 1:
        raise TuneJobsError(f"{where} must be a whole number from 1; got {value!r:.60}.")
    return value
