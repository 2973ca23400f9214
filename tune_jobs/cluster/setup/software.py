"""This software as two files that a cluster's machines install: a wheel, and exact versions."""

import base64
import hashlib
import platform
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stir import archive
from tune_jobs.cluster.bundle import PACKAGES, Bundle
from tune_jobs.trial.provenance import DISTRIBUTION

EXTRAS = "data,tune,aws"  # of what the machines of a cluster do
CONSTRAINTS = "constraints.txt"
CLUSTER_PLATFORM = "linux-x86_64"  # of the machines that cluster.yaml starts
EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in the wheel, so that equal code makes equal wheels


def write_software(folder: Path) -> tuple[str, ...]:
    """Make a folder hold a wheel of the code that is here and its ``constraints.txt``, no more.

    The code goes as it is, changed or not; the constraints name what is installed here of all that
    it requires. Compiled layers go where they fit the cluster's machines. Returns the files' names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as content:
        Bundle.of(study_file=None, imports=()).write(Path(content))
        name, data = _wheel(Path(content))
    for old in folder.glob("*.whl"):
        if old.name != name:
            old.unlink()
    pins = "".join(f"{line}\n" for line in pinned())
    for path, text in ((folder / name, data), (folder / CONSTRAINTS, pins.encode())):
        if not path.exists() or path.read_bytes() != text:
            with archive.written(path) as temporary:
                temporary.write_bytes(text)
    return name, CONSTRAINTS


def describe(names: tuple[str, ...], folder: Path) -> str:
    """What was written where, and what is missing in a wheel that was made on another platform."""
    line = f"software: {', '.join(names)} in {folder}"
    if not names[0].endswith("-none-any.whl"):
        return line
    return (
        f"{line}; without compiled loops, which only {CLUSTER_PLATFORM} with a C++ compiler builds "
        "for the machines: their CPUs will take some two to six times as long"
    )


def pinned() -> list[str]:
    """``name==version`` of every distribution that this software requires, as installed here.

    A local build's suffix, such as ``+cpu``, is left out.
    """
    found: dict[str, str] = {}
    waiting = [Requirement(f"{DISTRIBUTION}[{EXTRAS}]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # not needed on this platform, or not used here
            continue
        found[name] = installed.version.partition("+")[0]
        for extra in ("", *wanted.extras):
            waiting += (
                inner
                for inner in map(Requirement, installed.requires or ())
                if inner.marker is None or inner.marker.evaluate({"extra": extra})
            )
    del found[DISTRIBUTION]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _wheel(content: Path) -> tuple[str, bytes]:
    """The file name and the bytes of a wheel of a bundle that was written to a folder."""
    compiled = sorted(content.rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"))
    fits = f"{sys.platform}-{platform.machine()}" == CLUSTER_PLATFORM
    tag = "py3-none-any"
    if compiled and fits:
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        tag = f"{python}-{python}-{CLUSTER_PLATFORM.replace('-', '_')}"
    (info,) = content.glob("*.dist-info")
    installed = metadata.distribution(DISTRIBUTION)
    described = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
    (info / "METADATA").write_text(described, encoding="utf-8")
    (info / "WHEEL").write_text(
        f"Wheel-Version: 1.0\nGenerator: {DISTRIBUTION}\nRoot-Is-Purelib: "
        f"{str(tag.endswith('any')).lower()}\nTag: {tag}\n"
    )
    scripts = (
        entry
        for entry in installed.entry_points.select(group="console_scripts")
        if entry.value.partition(".")[0] in PACKAGES
    )
    lines = "".join(f"{entry.name} = {entry.value}\n" for entry in scripts)
    (info / "entry_points.txt").write_text(f"[console_scripts]\n{lines}")
    files = sorted(path for path in content.rglob("*") if path.is_file())
    if not fits:
        files = [path for path in files if path.suffix != ".so"]
    record = [*(_recorded(path, content) for path in files), f"{info.name}/RECORD,,"]
    (info / "RECORD").write_text("\n".join(record) + "\n")
    name = f"{info.name.removesuffix('.dist-info')}-{tag}.whl"
    target = content / name
    with ZipFile(target, "w", ZIP_DEFLATED) as archived:
        for path in (*files, info / "RECORD"):
            entry = ZipInfo(path.relative_to(content).as_posix(), EPOCH)
            entry.external_attr = 0o644 << 16
            archived.writestr(entry, path.read_bytes(), ZIP_DEFLATED)
    return name, target.read_bytes()


def _recorded(path: Path, content: Path) -> str:
    """A line of a wheel's RECORD."""
    data = path.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path.relative_to(content).as_posix()},sha256={digest},{len(data)}"
