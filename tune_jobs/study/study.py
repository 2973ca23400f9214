"""What a study is: phases of points, or a search, with a recipe and what each trial takes."""

from dataclasses import dataclass
from pathlib import Path

from tune_jobs.point import GridPoint, OpenPoint, Recipe
from tune_jobs.study.search import Search

ONLY_PHASE = "all"  # the name of the phase of a study that has no phases


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one trial takes. ``cpus`` is also its number of threads.

    With ``gpu_gb``, the memory of a GPU, a trial takes the share of one that its model needs, and
    ``gpus`` where that is not known.
    """

    cpus: int = 1
    gpus: float = 0.0
    gpu_gb: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """Points to run together: in this order if ``in_order``, else whatever ends soonest in all.

    ``select`` names the rule that chooses a learning rate for each of its cells when they are
    done; None if none is chosen.
    """

    name: str
    points: tuple[GridPoint | OpenPoint, ...]
    select: str | None = None
    in_order: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """Phases in the order they run, how points are trained and what each of them takes.

    ``imports`` are the modules that register users' own models, ``folder`` is that of the study's
    file, in which they and data are looked for too. With a ``search`` there are no phases: points
    are drawn, each with a recipe of its own.
    """

    name: str
    phases: tuple[Phase, ...]
    recipe: Recipe
    resources: Resources
    imports: tuple[str, ...] = ()
    folder: Path | None = None
    search: Search | None = None

    @property
    def points(self) -> tuple[GridPoint, ...]:
        """The points whose learning rate is given, each once."""
        points = (point for phase in self.phases for point in phase.points)
        return tuple(dict.fromkeys(point for point in points if isinstance(point, GridPoint)))
