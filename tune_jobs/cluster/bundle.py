"""What is sent to a cluster with a job: the code that runs here, users' models, the study file.

Which kinds of files may be sent is in ``allow_list``.
"""

import hashlib
import importlib.util
import json
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Self

from tune_jobs.cluster.allow_list import Candidate, candidates
from tune_jobs.errors import TuneJobsError
from tune_jobs.trial.provenance import DISTRIBUTION, GIT_STATE, git_state

PACKAGES = ("stir", "siconvnet", "tune_jobs")
NOT_SENT = ("analysis", "benchmarks", "conftest", "lab", "tests")  # of what lies beside them
MOST_BYTES = 100 * 10**6


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files by their names in a folder from which ``python -m tune_jobs`` runs a study.

    ``held_back`` are those of the same folders that are not sent.
    """

    files: tuple[tuple[str, Candidate], ...]
    held_back: tuple[Candidate, ...]
    entry_points: tuple[metadata.EntryPoint, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        study_file: Path | None,
        imports: Iterable[str],
        entry_points: Iterable[metadata.EntryPoint] = (),
    ) -> Self:
        """Our packages, the study's file, and the modules in ``imports`` with their neighbours.

        The neighbours of a module are those that it loaded from its own folder; a module of a
        package goes with the whole package. Of an installed package that adds models or datasets by
        ``entry_points`` its own modules go, and its entry points, so that they are known there. No
        data, no credentials. Raises TuneJobsError if that is more than a cluster should be sent, or
        holds a link out of its project.
        """
        ours = _our_folder()
        sources = {name: ours / name for name in PACKAGES}
        for module in imports:
            sources |= _with_neighbours(module.partition(".")[0])
        entry_points = tuple(entry_points)
        for package in _packages(entry_points):
            sources |= _modules_of(package)
        found = [
            (str(candidate.path.relative_to(source.parent)), candidate)
            for name, source in sources.items()
            for candidate in candidates(source, ours=name in PACKAGES)
        ]
        if study_file:  # named by hand, and read as a study before
            found.append((study_file.name, Candidate(study_file, study_file.stat().st_size, "")))
        bundle = cls(
            tuple((name, one) for name, one in found if not one.reason),
            tuple(one for _, one in found if one.reason),
            entry_points,
        )
        bundle._require_small(sources)
        return bundle

    @property
    def size(self) -> int:
        """Bytes of all files that are sent."""
        return sum(candidate.size for _, candidate in self.files)

    def write(self, folder: Path) -> str:
        """Fill an empty folder; returns a hash of the code, whatever commit it is of."""
        for name, candidate in self.files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(candidate.path, target)
        for package in _packages(self.entry_points):
            points = [
                one for one in self.entry_points if one.dist and one.dist.name == package.name
            ]
            info = _write_metadata(folder, package.name, package.version)
            (info / "entry_points.txt").write_text(_as_ini(points))
        digest = _digest(folder)
        info = _write_metadata(folder, DISTRIBUTION, metadata.version(DISTRIBUTION))
        (info / GIT_STATE).write_text(json.dumps(git_state()))
        return digest

    def _require_small(self, sources: dict[str, Path]) -> None:
        if self.size <= MOST_BYTES:
            return
        sizes = {
            source: sum(one.size for _, one in self.files if one.path.is_relative_to(source))
            for source in sources.values()
        }
        raise TuneJobsError(
            f"Code sent to a cluster must be at most {MOST_BYTES / 1e6:.0f} MB; this is "
            f"{self.size / 1e6:,.0f} MB, most of it in {max(sizes, key=lambda one: sizes[one])}. "
            "Keep data in another folder than modules."
        )


def _our_folder() -> Path:
    """Where our packages lie."""
    return Path(__file__).parents[2]


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
    loaded = {name.partition(".")[0] for name in list(sys.modules)} - {"__main__", *PACKAGES}
    if home.parent == _our_folder():
        loaded -= {*NOT_SENT}
    homes = {name: _home(name) for name in sorted(loaded | {module})}
    return {
        name: found
        for name, found in homes.items()
        if found is not None and found.parent == home.parent
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


def _packages(entry_points: Iterable[metadata.EntryPoint]) -> list[metadata.Distribution]:
    """The installed packages that entry points belong to, each once."""
    found = {point.dist.name: point.dist for point in entry_points if point.dist}
    return list(found.values())


def _modules_of(package: metadata.Distribution) -> dict[str, Path]:
    """Where the top-level modules of an installed package lie, in development or not."""
    names = [
        name
        for name, packages in metadata.packages_distributions().items()
        if package.name in packages
    ]
    homes = {name: _home(name) for name in names}
    found = {name: home for name, home in homes.items() if home is not None}
    if not found:
        raise TuneJobsError(
            f"A package that adds models or datasets must consist of files to be sent to a "
            f"cluster; {package.name} {package.version} has none that can be found."
        )
    return found


def _as_ini(entry_points: Iterable[metadata.EntryPoint]) -> str:
    """Entry points as ``entry_points.txt`` of an installed package holds them."""
    groups: dict[str, str] = {}
    for point in entry_points:
        groups[point.group] = f"{groups.get(point.group, '')}{point.name} = {point.value}\n"
    return "".join(f"[{group}]\n{lines}" for group, lines in groups.items())


def _write_metadata(folder: Path, name: str, version: str) -> Path:
    """Let the code on the cluster know a package and its version, installed there or not."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return info


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()
