"""A subset of a study's points, given by values of axes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean, look_up
from tune_jobs.point import GridPoint, OpenPoint
from tune_jobs.study.axes import AXES
from tune_jobs.study.study import Study


@dataclass(frozen=True, slots=True)
class Only:
    """The points that have, on each axis named here, one of its values (as they are printed)."""

    values: Mapping[str, frozenset[str]]

    @classmethod
    def parse(cls, conditions: Iterable[str], study: Study) -> Self:
        """Read conditions such as ``model=disco`` and ``dataset=emoji,mnist``.

        A value that no point of the study has is an error, so that a slip is not an empty run; so
        is a search, which has no points before it draws them.
        """
        values: dict[str, frozenset[str]] = {}
        for condition in conditions:
            if study.search:
                raise TuneJobsError(
                    f"--only must be used with a grid; {study.name} is a search, whose points are "
                    "drawn. A search of fewer models or datasets is another study."
                )
            axis, equals, text = condition.partition("=")
            if not equals or not text:
                raise TuneJobsError(f"--only must be AXIS=VALUE,VALUE; got {condition!r}.")
            look_up("axis", axis, dict.fromkeys(AXES))
            points = (point for phase in study.phases for point in phase.points)
            known = {_printed(point, axis): None for point in points}
            for asked in text.split(","):
                value = _normal(axis, asked)
                if value not in known:
                    raise TuneJobsError(
                        f"--only {axis} must be a value that the study has; got {asked!r}."
                        + did_you_mean(asked, filter(None, known))
                    )
                values[axis] = values.get(axis, frozenset()) | {value}
        return cls(values)

    def keeps(self, point: GridPoint | OpenPoint) -> bool:
        """Whether a point belongs to the part; an open point is not judged by its rate."""
        return all(
            _printed(point, axis) in allowed
            for axis, allowed in self.values.items()
            if not (axis == "lr" and isinstance(point, OpenPoint))
        )


def _printed(point: GridPoint | OpenPoint, axis: str) -> str:
    if isinstance(point, GridPoint):
        value = getattr(point, axis)
        return f"{value:g}" if axis == "lr" else str(value)
    if axis == "lr":
        return ""
    return str(point.seed if axis == "seed" else getattr(point.cell, axis))


def _normal(axis: str, text: str) -> str:
    try:
        return f"{float(text):g}" if axis == "lr" else text
    except ValueError:
        return text
