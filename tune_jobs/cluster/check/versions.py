"""Whether a cluster's machines run the versions that run here."""

import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from tune_jobs.cluster.check.nodes import part

DISTRIBUTION = "scale-generalization"
# An image's tag says what is in it: 0.1.0-ray2.60.0-torch2.13.0-py3.11.
_TAG = re.compile(
    rf"{DISTRIBUTION}:(?P<{DISTRIBUTION.replace('-', '_')}>\d[\w.]*)"
    r"-ray(?P<ray>\d[\w.]*)-torch(?P<torch>\d[\w.]*)-py(?P<python>\d[\w.]*)"
)
_RAY_TAG = re.compile(r"\brayproject/ray:(?P<ray>\d[\w.]*)-py(?P<python>3\d+)")
_WHEEL = re.compile(rf"{DISTRIBUTION.replace('-', '_')}-(?P<version>\d[\w.]*?)-.*\.whl")
_PIN = re.compile(
    rf"(?<![\w-])(?P<name>ray|torch|{DISTRIBUTION})(?:\[[\w,]*\])?\s*==\s*(?P<version>[\w.]+)"
)
_VENV = re.compile(r"\bpython(?P<python>3\.\d+) -m venv\b")
_UNRELEASED = re.compile(r"ray-wheels/|ray(?:\[[\w,]*\])?\s*@\s*http")


def local_versions() -> dict[str, str]:
    """What is installed here; a local build's suffix (``+cpu``) left out."""
    names = (DISTRIBUTION, "ray", "torch")
    versions = {name: metadata.version(name).partition("+")[0] for name in names}
    return versions | {"python": ".".join(platform.python_version_tuple()[:2])}


def same_versions(config: Mapping[str, Any]) -> Iterator[str]:
    """Versions in the image's tag or in commands that are not those here, or none at all."""
    here = local_versions()
    found: set[str] = set()
    for where, name, version in _named(config):
        found.add(name)
        if version != here[name]:
            yield (
                f"The cluster must run {name} {here[name]}, as this machine does; {where} says "
                f"{version}. `tune-jobs cluster-init` writes the files again; an image is to be "
                "built again."
            )
    missing = [name for name in here if name not in found]
    if missing and not any(_sent_later(config)):
        yield (
            f"docker.image must end in :{_tag(here)}, or a wheel and its constraints.txt be "
            "mounted and installed, so that it is known what runs; got "
            f"{part(config, 'docker').get('image')!r}, and nothing names {', '.join(missing)}. "
            "`tune-jobs cluster-init` writes both files."
        )
    for key, command in _commands(config):
        if _UNRELEASED.search(command):
            yield (
                f"Only released versions may be installed; {key} has {command!r:.100}. "
                f"Write {key}: [] and let the image bring Ray."
            )


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Where a version is named, of what, and which."""
    docker = part(config, "docker")
    for key in ("image", "head_image", "worker_image"):
        image = str(docker.get(key, ""))
        if match := _TAG.search(image):
            for name, version in match.groupdict().items():
                yield f"docker.{key}", name.replace("_", "-"), version
        elif match := _RAY_TAG.search(image):
            yield f"docker.{key}", "ray", match["ray"]
            yield f"docker.{key}", "python", f"3.{match['python'][1:]}"
    for folder in _installed_folders(config):
        yield from _in_folder(folder)
    for key, command in _commands(config):
        for pin in _PIN.finditer(command):
            yield key, pin["name"], pin["version"]
        if match := _VENV.search(command):
            yield key, "python", match["python"]


def _installed_folders(config: Mapping[str, Any]) -> Iterator[Path]:
    """Folders of this machine whose wheel is installed on the cluster's, there already or not."""
    commands = " ".join(command for _, command in _commands(config))
    for remote, local in part(config, "file_mounts").items():
        if f"{remote}/" in commands and isinstance(local, str):
            yield Path(local).expanduser()


def _sent_later(config: Mapping[str, Any]) -> Iterator[bool]:
    """For each folder that is to be installed from, whether it is still to be made."""
    return (not folder.exists() for folder in _installed_folders(config))


def _in_folder(folder: Path) -> Iterator[tuple[str, str, str]]:
    """The versions that a wheel and a file of constraints bring."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if match := _WHEEL.fullmatch(path.name):
            yield str(path), DISTRIBUTION, match["version"]
        elif path.name == "constraints.txt":
            for pin in _PIN.finditer(path.read_text(encoding="utf-8", errors="replace")):
                yield str(path), pin["name"], pin["version"]


def _commands(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # Ray has put setup_commands in front of the other two; so each is named once.
    seen: set[str] = set()
    for key in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        for command in config.get(key) or []:
            if command not in seen:
                seen.add(command)
                yield key, command


def _tag(versions: Mapping[str, str]) -> str:
    return (
        f"{versions[DISTRIBUTION]}-ray{versions['ray']}-torch{versions['torch']}"
        f"-py{versions['python']}"
    )
