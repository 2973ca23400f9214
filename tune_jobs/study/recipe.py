"""The fields of a recipe as a study file gives them, checked."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, get_args, get_type_hints

from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean
from tune_jobs.point import Recipe
from tune_jobs.study.checks import check_count, mapping

RECIPE = tuple(field.name for field in fields(Recipe))
ON_DIVERGENCE = get_args(get_type_hints(Recipe)["on_divergence"])


def check_recipe(content: object) -> Recipe:
    """A recipe of the fields that a mapping in a file gives; the published values elsewhere."""
    given = mapping({} if content is None else content, "recipe", RECIPE)
    return Recipe(**{name: check_field(name)(value) for name, value in given.items()})


def check_field(name: str) -> Callable[[Any], Any]:
    """What checks a value of a field and returns it as a recipe has it."""
    return _CHECKS.get(name) or partial(check_count, where=f"recipe.{name}")


def _on_divergence(value: object) -> str:
    if value not in ON_DIVERGENCE:
        raise TuneJobsError(
            "recipe.on_divergence must say what a loss that is not finite does, "
            f"{' or '.join(ON_DIVERGENCE)}; got {value!r:.60}.{did_you_mean(value, ON_DIVERGENCE)}"
        )
    return str(value)


_CHECKS: Mapping[str, Callable[[Any], Any]] = {"on_divergence": _on_divergence}
