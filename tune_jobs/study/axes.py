"""The axes of a grid as a study file gives them: lists, ranges and single values, checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import product
from math import prod
from typing import Any

from siconvnet import MODELS
from siconvnet.models.plugins import PluginError
from siconvnet.resample import INTERPOLATIONS
from stir import DATASETS, SCENARIOS
from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean, look_up
from tune_jobs.point import Cell, GridPoint, OpenPoint, require_name
from tune_jobs.study.checks import is_whole, mapping, number

AXES = tuple(field.name for field in fields(GridPoint))
CHOSEN = "chosen"  # stands for the learning rate that an earlier phase chose
MOST_POINTS = 200_000  # of a study, those in several phases or groups counted each time


class UnknownModelError(TuneJobsError):
    """A model that neither this software nor anything imported or installed has."""


def check_point_values(values: Mapping[str, object]) -> GridPoint:
    """A GridPoint of checked values; an interpolation that the model does not use becomes None."""
    return make_point({axis: check_value(axis, value) for axis, value in values.items()})


def make_point(values: Mapping[str, Any]) -> GridPoint:
    """A GridPoint of values that are checked, as ``check_point_values`` makes it."""
    place = {axis: value for axis, value in values.items() if axis not in ("lr", "seed")}
    return _cell(**place).point(lr=values["lr"], seed=values["seed"])


def check_value(axis: str, value: object) -> Any:
    """A value of an axis as a point has it."""
    return _CHECKS[axis](value)


def check_kernel_size(model: str, kernel_size: int) -> None:
    """Raise TuneJobsError unless the model can have kernels of so many pixels."""
    try:
        MODELS[model].check_kernel_size(kernel_size)
    except ValueError as error:
        raise TuneJobsError(str(error)) from None


def check_axes(given: object, where: str) -> dict[str, list[Any]]:
    """The values of each axis that a mapping in a file gives."""
    return {
        axis: [_check(axis, value) for value in _values(content, f"{where}.{axis}")]
        for axis, content in mapping(given, where, AXES).items()
    }


@dataclass(slots=True)
class Tally:
    """The number of points counted so far in a study."""

    points: int = 0

    def add(self, count: int, where: str) -> None:
        """Count what ``where`` in the file asks for; TuneJobsError if the study has too many."""
        self.points += count
        if self.points > MOST_POINTS:
            raise TuneJobsError(
                f"A study must give at most {MOST_POINTS:,} points; got {self.points:,} up to "
                f"{where}."
            )


def cross(axes: Mapping[str, list[Any]], where: str, tally: Tally) -> list[GridPoint | OpenPoint]:
    """Every combination of checked values, each once; the last axis, the seed, turns fastest.

    They are counted before they are made.
    """
    missing = [axis for axis in AXES if axis not in axes]
    if missing:
        raise TuneJobsError(f"{where} must give every axis; missing: {', '.join(missing)}.")
    tally.add(prod(len(axes[axis]) for axis in AXES), where)
    points: dict[GridPoint | OpenPoint, None] = {}
    for *place, lr, seed in product(*(axes[axis] for axis in AXES)):
        cell = _cell(*place)
        is_open = lr == CHOSEN
        points[OpenPoint(cell, seed) if is_open else cell.point(lr=lr, seed=seed)] = None
    return list(points)


def _cell(
    model: str, dataset: str, scenario: int, kernel_size: int, interpolation: str | None
) -> Cell:
    check_kernel_size(model, kernel_size)
    return Cell(
        model=model,
        dataset=dataset,
        scenario=scenario,
        kernel_size=kernel_size,
        interpolation=interpolation if MODELS[model].uses_interpolation else None,
    )


def _values(value: object, where: str) -> list[object]:
    """An axis' values: a list of them, a single one, or a range {from: 1, to: 5}, both included."""
    if isinstance(value, dict):
        bounds = mapping(value, where, ("from", "to"))
        low, high = bounds.get("from"), bounds.get("to")
        if not is_whole(low) or not is_whole(high) or not low <= high < low + MOST_POINTS:
            raise TuneJobsError(
                f"{where} must be a range {{from: 1, to: 5}} of whole numbers; got {value!r:.60}."
            )
        return list(range(low, high + 1))
    values: list[object] = value if isinstance(value, list) else [value]
    if not values:
        raise TuneJobsError(f"{where} must have at least one value; got an empty list.")
    return values


def _check(axis: str, value: object) -> Any:
    return CHOSEN if (axis, value) == ("lr", CHOSEN) else check_value(axis, value)


def _model(value: Any) -> str:
    name = str(value)
    if name not in MODELS:
        raise UnknownModelError(f"No model is called {name!r}.{did_you_mean(name, MODELS)}")
    try:
        MODELS[name]  # of an installed package: imported now
    except PluginError as error:
        raise TuneJobsError(str(error)) from None
    require_name("model", name)
    return name


def _dataset(value: Any) -> str:
    name = str(value)
    if "/" not in name and not name.endswith(".npz") and name not in DATASETS:
        raise TuneJobsError(f"No dataset is called {name!r}.{did_you_mean(name, DATASETS)}")
    return name


def _scenario(value: Any) -> int:
    if not is_whole(value) or value not in SCENARIOS:
        known = ", ".join(f"{id} {scenario.name}" for id, scenario in SCENARIOS.items())
        raise TuneJobsError(f"scenario must be one of {known}; got {value!r:.60}.")
    return value


def _kernel_size(value: Any) -> int:
    if not is_whole(value) or value % 2 == 0 or not 3 <= value <= 15:
        raise TuneJobsError(f"kernel_size must be odd and from 3 to 15 pixels; got {value!r:.60}.")
    return value


def _interpolation(value: Any) -> str | None:
    if value is None:
        return None
    return look_up("interpolation", str(value), {name: name for name in INTERPOLATIONS})


def _lr(value: Any) -> float:
    lr = number(value)
    if lr is None or lr <= 0:
        raise TuneJobsError(f"lr must be a number above 0; got {value!r:.60}.")
    return float(lr)


def _seed(value: Any) -> int:
    if not is_whole(value) or not 0 <= value < 2**32:
        raise TuneJobsError(f"seed must be a whole number from 0 to 2**32 - 1; got {value!r:.60}.")
    return value


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "model": _model,
    "dataset": _dataset,
    "scenario": _scenario,
    "kernel_size": _kernel_size,
    "interpolation": _interpolation,
    "lr": _lr,
    "seed": _seed,
}
