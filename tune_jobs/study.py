"""Study files: which points, trained how, on what; checked when they are read."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from siconvnet import MODELS
from siconvnet.resample import INTERPOLATIONS
from stir import DATASETS, SCENARIOS
from tune_jobs.errors import TuneJobsError
from tune_jobs.grid import GridPoint, Recipe, grid
from tune_jobs.names import did_you_mean, look_up

SHIPPED = Path(__file__).parent / "studies"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one trial takes. ``cpus`` is also its number of threads."""

    cpus: int = 1
    gpus: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """The points to run, in this order, how they are trained and what each of them takes."""

    name: str
    points: tuple[GridPoint, ...]
    recipe: Recipe
    resources: Resources


def shipped_studies() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_study(name_or_path: str) -> Study:
    """Read a shipped study by name, or anyone's by the path of its YAML file.

    Raises TuneJobsError that names file, key and what would do; FileNotFoundError for a path that
    is not there.
    """
    is_path = name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path
    if not is_path:
        look_up("study", name_or_path, dict.fromkeys(shipped_studies()))
    path = Path(name_or_path) if is_path else SHIPPED / f"{name_or_path}.yaml"
    try:
        content = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        known = ", ".join(shipped_studies())
        raise FileNotFoundError(
            f"A study must be a YAML file or the name of a shipped one ({known}); "
            f"there is no {path}."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise TuneJobsError(f"{path}: a study must be valid YAML: {reason}.") from None
    return parse_study(content, where=str(path))


def parse_study(content: object, *, where: str) -> Study:
    """Check what a study file holds; ``where`` is named in errors."""
    try:
        top = _mapping(content, "the file", ("name", "axes", "recipe", "resources"))
        if not isinstance(top.get("name"), str) or not top["name"]:
            raise TuneJobsError(f"name must be a word for the study; got {top.get('name')!r}.")
        return Study(
            name=top["name"],
            points=_points(top.get("axes")),
            recipe=Recipe(**_whole_numbers(top.get("recipe"), "recipe", Recipe)),
            resources=_resources(top.get("resources")),
        )
    except TuneJobsError as error:
        raise TuneJobsError(f"{where}: {error}") from None


def check_point_values(values: Mapping[str, object]) -> GridPoint:
    """A GridPoint of checked values; an interpolation that the model does not use becomes None."""
    checked = {axis: _CHECKS[axis](value) for axis, value in values.items()}
    if not MODELS[checked["model"]].uses_interpolation:
        checked["interpolation"] = None
    return GridPoint(**checked)


def _points(axes: object) -> tuple[GridPoint, ...]:
    names = tuple(field.name for field in fields(GridPoint))
    given = _mapping(axes, "axes", names)
    missing = [name for name in names if name not in given]
    if missing:
        raise TuneJobsError(f"axes must give every axis; missing: {', '.join(missing)}.")
    lists = {name: _values(given[name], f"axes.{name}") for name in names}
    raw = ({name: getattr(point, name) for name in names} for point in grid(lists))
    return tuple(dict.fromkeys(check_point_values(values) for values in raw))


def _values(value: object, where: str) -> list[object]:
    """An axis' values: a list of them, a single one, or a range {from: 1, to: 5}, both included."""
    if isinstance(value, dict):
        bounds = _mapping(value, where, ("from", "to"))
        low, high = bounds.get("from"), bounds.get("to")
        if not _is_whole(low) or not _is_whole(high) or not low <= high < low + 100_000:
            raise TuneJobsError(
                f"{where} must be a range {{from: 1, to: 5}} of whole numbers; got {value!r}."
            )
        return list(range(low, high + 1))
    values: list[object] = value if isinstance(value, list) else [value]
    if not values:
        raise TuneJobsError(f"{where} must have at least one value; got an empty list.")
    return values


def _resources(content: object) -> Resources:
    given = _mapping({} if content is None else content, "resources", ("cpus", "gpus"))
    cpus, gpus = given.get("cpus", 1), given.get("gpus", 0)
    if not _is_whole(cpus) or cpus < 1:
        raise TuneJobsError(f"resources.cpus must be a whole number from 1; got {cpus!r}.")
    if not _is_number(gpus) or gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise TuneJobsError(f"resources.gpus must be a share of a GPU, 0 to 1; got {gpus!r}.")
    return Resources(cpus=cpus, gpus=float(gpus))


def _whole_numbers(content: object, where: str, kind: type) -> dict[str, int]:
    names = tuple(field.name for field in fields(kind))
    given = _mapping({} if content is None else content, where, names)
    for name, value in given.items():
        if not _is_whole(value) or value < 1:
            raise TuneJobsError(f"{where}.{name} must be a whole number from 1; got {value!r}.")
    return dict(given)


def _mapping(content: object, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise TuneJobsError(
            f"{where} must be a mapping with the keys {', '.join(known)}; got {content!r:.60}."
        )
    for key in content:
        if key not in known:
            raise TuneJobsError(f"{where} has no key {key!r:.60}.{did_you_mean(key, known)}")
    return content


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _model(value: Any) -> str:
    look_up("model", str(value), MODELS)
    return str(value)


def _dataset(value: Any) -> str:
    name = str(value)
    if "/" not in name and not name.endswith(".npz"):
        look_up("dataset", name, DATASETS)
    return name


def _scenario(value: Any) -> int:
    if not _is_whole(value) or value not in SCENARIOS:
        known = ", ".join(f"{id} {scenario.name}" for id, scenario in SCENARIOS.items())
        raise TuneJobsError(f"scenario must be one of {known}; got {value!r:.60}.")
    return value


def _kernel_size(value: Any) -> int:
    if not _is_whole(value) or value % 2 == 0 or not 3 <= value <= 15:
        raise TuneJobsError(f"kernel_size must be odd and from 3 to 15 pixels; got {value!r:.60}.")
    return value


def _interpolation(value: Any) -> str | None:
    if value is None:
        return None
    return look_up("interpolation", str(value), {name: name for name in INTERPOLATIONS})


def _lr(value: Any) -> float:
    try:  # YAML 1.1 reads 1e-3, without a point, as text
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not _is_number(number) or number <= 0:
        raise TuneJobsError(f"lr must be a number above 0; got {value!r:.60}.")
    return float(number)


def _seed(value: Any) -> int:
    if not _is_whole(value) or not 0 <= value < 2**32:
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
