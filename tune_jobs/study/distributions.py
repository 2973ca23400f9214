"""The distributions from which a search draws the value of a field."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from numpy.random import Generator

from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean
from tune_jobs.study.checks import is_whole, number

DIGITS = 4  # significant ones of a number drawn from a continuous range: it can be typed again
MOST_LISTED = 1000  # values of a finite range that are checked one by one
WHOLE_LIMIT = 2**62

Check = Callable[[Any], Any]  # a value as the file has it -> as it is used


@dataclass(frozen=True, slots=True)
class Choice:
    """Any of some values, each as likely as the next."""

    options: tuple[Any, ...]

    @property
    def content(self) -> dict[str, Any]:
        """As a study file gives it."""
        return {"choice": list(self.options)}

    @property
    def probes(self) -> tuple[Any, ...]:
        """Values that are allowed only if all that can be drawn are."""
        return self.options

    def draw(self, rng: Generator) -> Any:
        return self.options[rng.integers(len(self.options))]


@dataclass(frozen=True, slots=True)
class Uniform:
    """A number between two others; ``log``: its logarithm is as likely here as there."""

    low: float
    high: float
    log: bool = False

    @property
    def content(self) -> dict[str, Any]:
        return {"loguniform" if self.log else "uniform": [self.low, self.high]}

    @property
    def probes(self) -> tuple[float, ...]:
        return self.low, self.high

    def draw(self, rng: Generator) -> float:
        if self.log:
            return self.short(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return self.short(rng.uniform(self.low, self.high))

    def short(self, value: float) -> float:
        """The nearest value of the range with few digits."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Steps:
    """``low``, ``low + step`` and so on to ``high``: whole numbers if ``low`` and ``step`` are."""

    low: float
    high: float
    step: float

    @property
    def content(self) -> dict[str, Any]:
        if self.step == 1 and is_whole(self.low):
            return {"randint": [self.low, self.high]}
        return {"quniform": [self.low, self.high, self.step]}

    @property
    def probes(self) -> tuple[float, ...]:
        shown = self.count if self.count <= MOST_LISTED else 1
        return (*(self.value(index) for index in range(shown)), self.value(self.count - 1))

    @property
    def count(self) -> int:
        # A step that divides the range may fall short of its end by rounding.
        return 1 + (
            (self.high - self.low) // self.step
            if is_whole(self.low) and is_whole(self.high) and is_whole(self.step)
            else math.floor((self.high - self.low) / self.step * (1 + 1e-9))
        )

    def value(self, index: int) -> float:
        value = self.low + index * self.step
        return value if is_whole(value) else float(f"{value:.12g}")

    def draw(self, rng: Generator) -> float:
        return self.value(int(rng.integers(self.count)))


Distribution = Choice | Uniform | Steps


def parse_distribution(content: Mapping[Any, Any], where: str, check: Check) -> Distribution:
    """A distribution as a file gives it, ``{kind: [...]}``; what can be drawn passes ``check``."""
    if len(content) != 1:
        raise TuneJobsError(
            f"{where} must be one value or one distribution such as {{loguniform: [1e-4, 1e-1]}}; "
            f"got {content!r:.60}."
        )
    ((kind, given),) = content.items()
    if kind not in list(KINDS):
        raise TuneJobsError(
            f"{where} must be drawn from a known distribution; got {kind!r:.60}."
            + did_you_mean(kind, KINDS)
        )
    if not isinstance(given, list):
        raise TuneJobsError(f"{where}.{kind} must be a list; got {given!r:.60}.")
    distribution = KINDS[kind](given, f"{where}.{kind}", check)
    for value in distribution.probes:
        check(value)
    return distribution


def _choice(given: list[Any], where: str, check: Check) -> Choice:
    if not given:
        raise TuneJobsError(f"{where} must have at least one value; got an empty list.")
    return Choice(tuple(dict.fromkeys(map(check, given))))


def _uniform(given: list[Any], where: str, check: Check) -> Uniform:
    low, high = _bounds(given, where)
    return Uniform(float(low), float(high))


def _log_uniform(given: list[Any], where: str, check: Check) -> Uniform:
    low, high = _bounds(given, where)
    if low <= 0:
        raise TuneJobsError(f"{where} must begin above 0; got {low!r:.60}.")
    return Uniform(float(low), float(high), log=True)


def _steps(given: list[Any], where: str, check: Check) -> Steps:
    step = number(given[2]) if len(given) == 3 else None
    if step is None or step <= 0:
        raise TuneJobsError(
            f"{where} must be a lowest and a highest value and a step above 0; got {given!r:.60}."
        )
    low, high = _bounds(given[:2], where)
    if not (high - low) / step < WHOLE_LIMIT:
        raise TuneJobsError(f"{where} must have fewer steps; got {given!r:.60}.")
    return Steps(low, high, step)


def _whole(given: list[Any], where: str, check: Check) -> Steps:
    low, high = _bounds(given, where)
    if not is_whole(low) or not is_whole(high):
        raise TuneJobsError(f"{where} must be two whole numbers; got {given!r:.60}.")
    return Steps(low, high, 1)


def _bounds(given: list[Any], where: str) -> tuple[float, float]:
    low, high = map(number, given) if len(given) == 2 else (None, None)
    if low is None or high is None or not low < high:
        raise TuneJobsError(
            f"{where} must be a lowest and a highest value, both of which can be drawn; "
            f"got {given!r:.60}."
        )
    if not -WHOLE_LIMIT < low < high < WHOLE_LIMIT:
        raise TuneJobsError(f"{where} must lie between -2**62 and 2**62; got {given!r:.60}.")
    return low, high


KINDS: Mapping[str, Callable[[list[Any], str, Check], Distribution]] = MappingProxyType(
    {
        "choice": _choice,
        "uniform": _uniform,
        "loguniform": _log_uniform,
        "quniform": _steps,
        "randint": _whole,
    }
)
