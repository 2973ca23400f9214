"""What travels to a cluster with a job: the code that runs here, users' models, the study file."""

import hashlib
import importlib.util
import json
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from tune_jobs.errors import TuneJobsError
from tune_jobs.trial.provenance import DISTRIBUTION, GIT_STATE, git_state

PACKAGES = ("stir", "siconvnet", "tune_jobs")
MOST_BYTES = 100 * 10**6


def write_bundle(folder: Path, *, study_file: Path | None, imports: Iterable[str]) -> str:
    """Fill an empty folder from which ``python -m tune_jobs`` runs the study; returns its hash.

    Beside our packages it holds the study's file and the modules in ``imports`` with those that
    they loaded from their own folder. Modules of a package go with the whole package. No data, no
    credentials. Raises TuneJobsError if that is more than a cluster should be sent.
    """
    ours = Path(__file__).parents[2]
    sources = {name: ours / name for name in PACKAGES}
    for module in imports:
        sources |= _with_neighbours(module.partition(".")[0])
    if study_file:
        sources[study_file.name] = study_file
    _require_small(sources)
    for source in sources.values():
        for path in _files(source):
            target = folder / path.relative_to(source.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    _write_distribution(folder)
    return _digest(folder)


def _with_neighbours(module: str) -> dict[str, Path]:
    """Where an imported top-level module lies, and what it loaded from the same folder.

    Of an installed module (in site-packages) only itself: the others are its requirements, which
    a cluster has to have.
    """
    home = _home(module)
    if home is None:
        raise TuneJobsError(
            f"A module with models of your own must be a file or a folder to be sent to a cluster; "
            f"{module!r} is neither."
        )
    installed = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib", "stdlib")}
    if home.parent in installed:
        return {module: home}
    loaded = {name.partition(".")[0] for name in list(sys.modules)} - {"__main__"}
    homes = {name: _home(name) for name in sorted(loaded | {module})}
    return {
        name: found
        for name, found in homes.items()
        if found is not None and found.parent == home.parent and name not in PACKAGES
    }


def _home(module: str) -> Path | None:
    """The file or package folder of a top-level module."""
    try:
        spec = importlib.util.find_spec(module)
    except (ValueError, ImportError):
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin.parent if spec.submodule_search_locations else origin


def _require_small(sources: dict[str, Path]) -> None:
    sizes = {
        name: sum(path.stat().st_size for path in _files(source))
        for name, source in sources.items()
    }
    if sum(sizes.values()) > MOST_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise TuneJobsError(
            f"Code sent to a cluster must be at most {MOST_BYTES / 1e6:.0f} MB; this is "
            f"{sum(sizes.values()) / 1e6:,.0f} MB, most of it in {sources[largest]}. Keep data in "
            "another folder than modules."
        )


def _files(source: Path) -> list[Path]:
    """A file itself; of a folder what is neither hidden nor compiled."""
    if source.is_file():
        return [source]
    return [
        path
        for path in source.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
        and path.suffix != ".pyc"
    ]


def _write_distribution(folder: Path) -> None:
    """Let the travelling code know its version and commit, installed there or not."""
    version = metadata.version(DISTRIBUTION)
    info = folder / f"{DISTRIBUTION.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n"
    )
    (info / GIT_STATE).write_text(json.dumps(git_state()))


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()
