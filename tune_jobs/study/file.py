"""Read a study file and check every key and value in it."""

import re
from pathlib import Path
from typing import Any

from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean, look_up
from tune_jobs.point import Cell, GridPoint, OpenPoint, Recipe, cell_of
from tune_jobs.study.axes import Tally, UnknownModelError, check_axes, cross
from tune_jobs.study.checks import is_number, is_whole, mapping
from tune_jobs.study.plugins import import_models, where_models_come_from
from tune_jobs.study.recipe import check_recipe
from tune_jobs.study.rules import RULES
from tune_jobs.study.search import parse_search
from tune_jobs.study.study import ONLY_PHASE, Phase, Resources, Study
from tune_jobs.yaml_file import read_yaml

SHIPPED = Path(__file__).parent / "shipped"
MOST_PHASES = 100
SMALL_GPU_GB = 16.0  # where a study does not say how much memory a GPU has
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


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
        content = read_yaml(path, "a study")
    except FileNotFoundError:
        known = ", ".join(shipped_studies())
        raise FileNotFoundError(
            f"A study must be a YAML file or the name of a shipped one ({known}); "
            f"there is no {path}."
        ) from None
    return parse_study(content, where=str(path), folder=path.parent.resolve() if is_path else None)


def parse_study(content: object, *, where: str, folder: Path | None = None) -> Study:
    """Check what a study file in a folder holds; ``where`` is named in errors."""
    imports: tuple[str, ...] = ()
    try:
        known = ("name", "imports", "axes", "groups", "phases", "recipe", "search", "resources")
        top = mapping(content, "the file", known)
        imports = _imports(top.get("imports"))
        import_models(imports, folder)
        search = parse_search(top) if "search" in top else None
        return Study(
            name=_name(top.get("name"), "name"),
            phases=() if search else _phases(top),
            recipe=Recipe() if search else check_recipe(top.get("recipe")),
            resources=_resources(top.get("resources")),
            imports=imports,
            folder=folder,
            search=search,
        )
    except UnknownModelError as error:
        hint = where_models_come_from(imports, folder)
        raise TuneJobsError(f"{where}: {error} {hint}") from None
    except ValueError as error:  # ours; or Python's, of a number too long to be printed
        raise TuneJobsError(f"{where}: {error}") from None


def _phases(top: dict[str, Any]) -> tuple[Phase, ...]:
    """The phases of a file; without any, its axes and groups are the only one."""
    tally = Tally()
    if "phases" not in top:
        points = _points(top, {}, "", tally)
        phases = [Phase(name=ONLY_PHASE, points=points, in_order="groups" in top)]
    else:
        if "groups" in top:
            raise TuneJobsError("groups must stand in the phases of a study that has phases.")
        shared = check_axes(top.get("axes", {}), "axes")
        given = _list(top["phases"], "phases", "of phases")
        if len(given) > MOST_PHASES:
            raise TuneJobsError(f"phases must be at most {MOST_PHASES}; got {len(given)}.")
        phases = [_phase(content, shared, number, tally) for number, content in enumerate(given, 1)]
        names = [phase.name for phase in phases]
        if len(set(names)) < len(names):
            raise TuneJobsError(f"phases must each have a name of its own; got {', '.join(names)}.")
    _check_choices(phases)
    return tuple(phases)


def _phase(content: object, shared: dict[str, list[Any]], number: int, tally: Tally) -> Phase:
    where = f"phases[{number}]"
    given = mapping(content, where, ("name", "axes", "groups", "select"))
    name = _name(given.get("name"), f"{where}.name")
    select = given.get("select")
    if select is not None and select not in list(RULES):
        raise TuneJobsError(
            f"{where}.select must name a rule; got {select!r:.60}.{did_you_mean(select, RULES)}"
        )
    points = _points(given, shared, f"{where}.", tally)
    return Phase(name=name, points=points, select=select, in_order="groups" in given)


def _points(
    given: dict[str, Any], shared: dict[str, list[Any]], where: str, tally: Tally
) -> tuple[GridPoint | OpenPoint, ...]:
    """The points of a file's or phase's axes, or of its groups, each of which completes them."""
    axes = shared | check_axes(given.get("axes", {} if shared else None), f"{where}axes")
    if "groups" not in given:
        return tuple(cross(axes, f"{where}axes", tally))
    points: dict[GridPoint | OpenPoint, None] = {}
    groups = _list(given["groups"], f"{where}groups", "of mappings such as {scenario: 2, seed: 1}")
    for number, content in enumerate(groups, 1):
        here = f"{where}groups[{number}]"
        points |= dict.fromkeys(cross(axes | check_axes(content, here), here, tally))
    return tuple(points)


def _check_choices(phases: list[Phase]) -> None:
    """See that every chosen learning rate is chosen before, from the same seeds at each rate."""
    chosen: set[Cell] = set()
    for number, phase in enumerate(phases, 1):
        open_cells = {point.cell: None for point in phase.points if isinstance(point, OpenPoint)}
        for cell in open_cells:
            if cell not in chosen:
                raise TuneJobsError(
                    "lr can be 'chosen' only after a phase that has the cell and a select; "
                    f"{cell.label} in phases[{number}] has none before it."
                )
        if phase.select:
            if open_cells:
                raise TuneJobsError(
                    f"phases[{number}] must give learning rates as numbers to select from them; "
                    "got 'chosen'."
                )
            chosen |= _evenly_seeded(phase, number)


def _evenly_seeded(phase: Phase, number: int) -> set[Cell]:
    seeds: dict[Cell, dict[float, set[int]]] = {}
    for point in phase.points:
        assert isinstance(point, GridPoint)
        seeds.setdefault(cell_of(point), {}).setdefault(point.lr, set()).add(point.seed)
    for cell, rates in seeds.items():
        if len({frozenset(of_rate) for of_rate in rates.values()}) > 1:
            raise TuneJobsError(
                f"phases[{number}] must have the same seeds at each learning rate to select from "
                f"them; {cell.label} has not."
            )
    return set(seeds)


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise TuneJobsError(
            f"{where} must be a word of letters, digits, - and _ (64 at most); got {value!r:.60}."
        )
    return value


def _list(value: object, where: str, content: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise TuneJobsError(f"{where} must be a list {content}; got {value!r:.60}.")
    return value


def _imports(content: object) -> tuple[str, ...]:
    modules = _list(content, "imports", "of module names") if content is not None else []
    for module in modules:
        if not isinstance(module, str) or not all(map(str.isidentifier, module.split("."))):
            raise TuneJobsError(f"imports must name Python modules; got {module!r:.60}.")
    return tuple(map(str, modules))


def _resources(content: object) -> Resources:
    given = mapping({} if content is None else content, "resources", ("cpus", "gpus", "gpu_gb"))
    cpus, gpus, gpu_gb = given.get("cpus", 1), given.get("gpus", 0), given.get("gpu_gb")
    if not is_whole(cpus) or not 1 <= cpus <= 4096:
        raise TuneJobsError(f"resources.cpus must be a whole number from 1; got {cpus!r:.60}.")
    if gpu_gb is not None and (gpus != "auto" or not is_number(gpu_gb) or not 1 <= gpu_gb <= 4096):
        raise TuneJobsError(
            "resources.gpu_gb must be the gigabytes of a GPU, from 1, and go with gpus: auto; got "
            f"{gpu_gb!r:.60} with gpus: {gpus!r:.60}."
        )
    if gpus == "auto":
        return Resources(cpus=cpus, gpus=1.0, gpu_gb=float(gpu_gb or SMALL_GPU_GB))
    if not is_number(gpus) or gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise TuneJobsError(
            f"resources.gpus must be a share of a GPU, 0 to 1, or auto; got {gpus!r:.60}."
        )
    return Resources(cpus=cpus, gpus=float(gpus))
