"""The space of a search: the fields of point and recipe that are fixed, and those drawn."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from numpy.random import Generator

from tune_jobs.errors import TuneJobsError
from tune_jobs.point import LATER_FIELDS, GridPoint, Recipe, content_of, words_of
from tune_jobs.study.axes import AXES, check_kernel_size, check_value, make_point
from tune_jobs.study.checks import mapping
from tune_jobs.study.distributions import Choice, Distribution, parse_distribution
from tune_jobs.study.recipe import RECIPE, check_field

_DECIMALS = re.compile(r"(?<==)\d+\.\d+(?:e[+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Space:
    """Every field of GridPoint and Recipe is in one of the two, or a recipe's younger default."""

    fixed: Mapping[str, Any]
    drawn: Mapping[str, Distribution]

    def draw(self, rng: Generator) -> dict[str, Any]:
        """A value of each field that is drawn."""
        return {name: distribution.draw(rng) for name, distribution in self.drawn.items()}

    def at(self, values: Mapping[str, Any]) -> tuple[GridPoint, Recipe]:
        """The point and the recipe that drawn values make."""
        found = {**self.fixed, **values}
        point = make_point({axis: found[axis] for axis in AXES})
        return point, Recipe(**{name: found[name] for name in RECIPE if name in found})

    def probes(self, name: str) -> tuple[Any, ...]:
        """Values of a field: all if they are few, else the ends of its range."""
        return self.drawn[name].probes if name in self.drawn else (self.fixed[name],)

    def short_name(self, label: str) -> str:
        """A trial's label without what all of the search have in common, numbers in four digits."""
        point, _ = self.at({name: kind.probes[0] for name, kind in self.drawn.items()})
        same = {word for name, word in words_of(point).items() if name not in self.drawn}
        words = [word for word in label.split() if word not in same - {point.model}]
        return " ".join(_DECIMALS.sub(lambda found: f"{float(found[0]):.4g}", one) for one in words)

    def with_datasets(self, names: Mapping[str, str]) -> "Space":
        """The same space, its datasets called otherwise."""
        drawn = dict(self.drawn)
        if "dataset" not in drawn:
            return replace(self, fixed={**self.fixed, "dataset": names[self.fixed["dataset"]]})
        drawn["dataset"] = Choice(
            tuple(dict.fromkeys(names[asked] for asked in self.probes("dataset")))
        )
        return replace(self, drawn=drawn)


def parse_space(axes: object, recipe: object) -> Space:
    """The space that the keys ``axes`` and ``recipe`` of a study file give."""
    given = mapping(axes, "axes", AXES)
    missing = [axis for axis in AXES if axis not in given]
    if missing:
        raise TuneJobsError(f"axes must give every axis; missing: {', '.join(missing)}.")
    found = {axis: _field(given[axis], f"axes.{axis}", partial(check_value, axis)) for axis in AXES}
    found |= content_of(Recipe())
    for name, content in mapping({} if recipe is None else recipe, "recipe", RECIPE).items():
        found[name] = _field(content, f"recipe.{name}", check_field(name))
    space = Space(
        {
            name: value
            for name, value in found.items()
            if not isinstance(value, Distribution) and (name, value) not in LATER_FIELDS.items()
        },
        {name: value for name, value in found.items() if isinstance(value, Distribution)},
    )
    for model, kernel_size in product(space.probes("model"), space.probes("kernel_size")):
        check_kernel_size(model, kernel_size)
    return space


def _field(content: object, where: str, check: Callable[[Any], Any]) -> Any:
    """A distribution, or the one checked value that a field has."""
    if isinstance(content, list):
        raise TuneJobsError(
            f"{where} of a search must be one value or a distribution such as "
            f"{{choice: {content!r:.40}}}; got a list."
        )
    return (
        parse_distribution(content, where, check) if isinstance(content, dict) else check(content)
    )
