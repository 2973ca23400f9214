"""Whether a cluster's machines run the versions that run here."""

import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from tune_jobs.cluster.check.nodes import part

DISTRIBUTION = "scale-generalization"
# An image's tag says what is in it: 0.1.0-ray2.60.0-torch2.13.0-py3.11.
_TAG = re.compile(
    rf"{DISTRIBUTION}:(?P<{DISTRIBUTION.replace('-', '_')}>\d[\w.]*)"
    r"-ray(?P<ray>\d[\w.]*)-torch(?P<torch>\d[\w.]*)-py(?P<python>\d[\w.]*)"
)
_PIN = re.compile(
    rf"(?<![\w-])(?P<name>ray|torch|{DISTRIBUTION})(?:\[[\w,]*\])?\s*==\s*(?P<version>[\w.]+)"
)
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
                f"{version}. Build the image again, or install that version here."
            )
    missing = [name for name in here if name not in found]
    if missing:
        yield (
            f"docker.image must end in :{_tag(here)}, so that it is known what runs; got "
            f"{part(config, 'docker').get('image')!r}, which does not name "
            f"{', '.join(missing)}."
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
        match = _TAG.search(str(docker.get(key, "")))
        for name, version in (match.groupdict() if match else {}).items():
            yield f"docker.{key}", name.replace("_", "-"), version
    for key, command in _commands(config):
        for pin in _PIN.finditer(command):
            yield key, pin["name"], pin["version"]


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
