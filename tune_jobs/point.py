"""What a trial is: a point of the grid, the recipe that trains it, and the id that both give."""

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import StringConstraints

from tune_jobs.errors import TuneJobsError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Raised when a change to training (siconvnet.fit) or evaluation (siconvnet.evaluation) moves a
# result; it enters every point_id, so that old and new numbers are never taken for each other.
PROTOCOL_VERSION = 1

# Fields younger than the first records. At this value they are left out of ids and objects, which
# are then what they were before there was a choice.
LATER_FIELDS: dict[str, Any] = {"on_divergence": "fail"}

# What names of models and datasets are made of, also in objects that others made: parts without
# control characters between slashes, none of which begins with a dot, so that no name leads out of
# a folder.
_PART = r"[^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*"
NAME = rf"^{_PART}(/{_PART})*$"
LONGEST_NAME = 200  # characters
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=LONGEST_NAME)]


def content_of(value: "DataclassInstance") -> dict[str, Any]:
    """A dataclass as nested dictionaries, as ids are made of and storages hold."""
    return asdict(
        value,
        dict_factory=lambda pairs: {
            name: field
            for name, field in pairs
            if name not in LATER_FIELDS or LATER_FIELDS[name] != field
        },
    )


def require_name(kind: str, text: str) -> None:
    """Raise TuneJobsError unless a model or dataset may be called so in a study and its records."""
    if not re.fullmatch(NAME, text) or len(text) > LONGEST_NAME:
        raise TuneJobsError(
            f"The name of a {kind} must have at most {LONGEST_NAME} characters, no backslash or "
            f"control character, and no part between slashes that is empty or begins with a dot; "
            f"got {text!r:.60}."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GridPoint:
    """What distinguishes one trial of a study from the next.

    ``lr`` is Adam's step size, ``kernel_size`` is in pixels. ``interpolation`` is None for a model
    that does not enlarge kernels, so that a grid never trains the same thing twice. ``seed``
    decides the initial weights and nothing else.
    """

    model: Name
    dataset: Name
    scenario: int
    kernel_size: int
    interpolation: Name | None
    lr: float
    seed: int

    @property
    def label(self) -> str:
        """A short name for a person; points that differ have different ones."""
        return " ".join(filter(None, words_of(self).values()))


def short_labels(points: Collection[GridPoint]) -> dict[str, str]:
    """What tells points from each other, by their labels: the model and each field that differs."""
    said = [words_of(point) for point in points]
    differing = {
        name for one in said[:1] for name in one if len({each[name] for each in said} - {""}) > 1
    }
    return {
        point.label: " ".join(
            text for name, text in one.items() if text and name in differing | {"model"}
        )
        for point, one in zip(points, said, strict=True)
    }


def words_of(point: GridPoint) -> dict[str, str]:
    """Each field as a label says it; empty where a label does not."""
    return {
        "model": point.model,
        "dataset": point.dataset,
        "scenario": f"s{point.scenario}",
        "kernel_size": f"k={point.kernel_size}",
        "interpolation": point.interpolation or "",
        "lr": f"lr={point.lr!r}",
        "seed": f"seed={point.seed}",
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How every trial of a study is trained; the defaults are the published protocol.

    Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.3.
    """

    max_epochs: int = 200
    patience: int = 10  # epochs in a row without a better validation accuracy
    batch_size: int = 16  # images
    on_divergence: Literal["fail", "stop"] = "fail"  # or end there and report the best epoch


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec:
    """Everything that decides the outcome of one trial, and nothing else.

    Where it runs, when, and on how many threads are not here: equal specs are the same experiment
    and share one ``point_id``.
    """

    point: GridPoint
    recipe: Recipe
    model_version: int | str
    dataset_fingerprint: str
    protocol_version: int = PROTOCOL_VERSION

    @property
    def point_id(self) -> str:
        """Twelve hex digits that depend on the values only, not on their order or on time."""
        text = json.dumps(content_of(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What one learning rate is chosen for; the fields are GridPoint's."""

    model: Name
    dataset: Name
    scenario: int
    kernel_size: int
    interpolation: Name | None

    @property
    def label(self) -> str:
        """A short name for a person."""
        return f"{self.model} {self.dataset} s{self.scenario}"

    def point(self, *, lr: float, seed: int) -> GridPoint:
        return GridPoint(
            model=self.model,
            dataset=self.dataset,
            scenario=self.scenario,
            kernel_size=self.kernel_size,
            interpolation=self.interpolation,
            lr=lr,
            seed=seed,
        )


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """A point whose learning rate an earlier phase chooses."""

    cell: Cell
    seed: int


def cell_of(point: GridPoint | OpenPoint) -> Cell:
    """The cell that a point lies in."""
    if isinstance(point, OpenPoint):
        return point.cell
    return Cell(
        model=point.model,
        dataset=point.dataset,
        scenario=point.scenario,
        kernel_size=point.kernel_size,
        interpolation=point.interpolation,
    )
