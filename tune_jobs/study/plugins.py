"""Users' own models and datasets: modules that a study imports, and installed packages."""

import importlib
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path

from siconvnet import MODELS
from stir import DATASETS
from tune_jobs.errors import TuneJobsError
from tune_jobs.point import OpenPoint
from tune_jobs.study.study import Study

_added: set[str] = set()  # folders that studies of this process have put on Python's path


def import_models(modules: Iterable[str], folder: Path | None = None) -> None:
    """Import modules that call ``siconvnet.register_model``.

    They are looked for on Python's path, in the current folder, and in ``folder``, the study's own.
    Raises TuneJobsError for a module that is not there, cannot be imported, or is not the one of
    that name that another study has loaded.
    """
    here = _places(folder)
    _added.update(place for place in here if place not in sys.path)
    others = [place for place in sys.path if place in _added and place not in here]
    sys.path[:] = [place for place in sys.path if place not in _added]
    sys.path += [*(place for place in here if place not in sys.path), *others]
    importlib.invalidate_caches()
    for module in modules:
        _refuse_namesake(module, folder)
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever a user's module raises
            raise TuneJobsError(
                f"A module with models of your own must be importable; importing {module!r} gave "
                f"{type(error).__name__}: {error}. It was looked for {_searched(folder)}."
            ) from error


def where_models_come_from(modules: Iterable[str], folder: Path | None) -> str:
    """A sentence on how models of one's own become known, and where these were looked for."""
    imports = ", ".join(modules) or "none"
    installed = ", ".join(MODELS.installed) or "none"
    return (
        f"A model of your own is known when `imports:` names the module that registers it (now "
        f"{imports}; looked for {_searched(folder)}), or when a package is installed that adds it "
        f"by an entry point in {MODELS.group} (now {installed})."
    )


def packages_of(study: Study) -> tuple[EntryPoint, ...]:
    """The entry points of the installed packages whose models and datasets a study uses."""
    cells = [
        point.cell if isinstance(point, OpenPoint) else point
        for phase in study.phases
        for point in phase.points
    ]
    models, datasets = [cell.model for cell in cells], [cell.dataset for cell in cells]
    if study.search:
        models += study.search.space.probes("model")
        datasets += study.search.space.probes("dataset")
    return tuple(
        point
        for known, names in ((MODELS.installed, models), (DATASETS.installed, datasets))
        for name in dict.fromkeys(names)
        for point in known.get(name, ())
    )


def _places(folder: Path | None) -> list[str]:
    return list(dict.fromkeys(str(place) for place in (Path.cwd(), folder) if place))


def _searched(folder: Path | None) -> str:
    return f"in {' and '.join(_places(folder))} and on Python's path"


def _refuse_namesake(module: str, folder: Path | None) -> None:
    """Raise if a module is loaded already, and is not what this study would import."""
    top = module.partition(".")[0]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if loaded is None:
        return
    spec = PathFinder.find_spec(top)
    if spec and spec.origin and Path(spec.origin).resolve() != Path(loaded).resolve():
        raise TuneJobsError(
            f"Modules with models of your own must have different names in one process; "
            f"{module!r} is {spec.origin} here, and {loaded} is loaded already."
        )
