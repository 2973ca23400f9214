"""A cluster file filled in: values put at its anchors, every comment and everything else kept."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stir import archive
from tune_jobs.errors import TuneJobsError
from tune_jobs.yaml_file import parse_yaml, read_bytes

SHIPPED = Path(__file__).with_name("shipped")
TEMPLATE = SHIPPED / "cluster.yaml"
NO_ACCOUNT = "000000000000"  # of a file that is not filled in
_STARTED = re.compile(r"\bTUNE_JOBS_STORAGE=('[^']*'|[^\s;']+)")
_BLOCK = r"\n(?:[ ]{4,}- .*\n)+"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a command that uses a cluster must know of it: its file, and where results are kept.

    ``storage`` is empty where the file does not say; it may be a folder that its machines share.
    """

    path: Path
    storage: str


def find_cluster(path: Path) -> Cluster | None:
    """The cluster of a file, on AWS or of machines at hand; None if there are blanks in the file.

    Raises TuneJobsError for a file of another kind, OSError for one that cannot be read.
    """
    content = parse_yaml(read_bytes(path, "a cluster file"), "a cluster file", where=str(path))
    provider = content.get("provider") if isinstance(content, dict) else None
    if isinstance(provider, dict) and provider.get("type") == "local":
        return Cluster(path, started_storage(content.get("head_start_ray_commands")))
    file = ClusterFile(path, there=True)
    return Cluster(path, file.storage) if file.is_filled else None


def started_storage(commands: object) -> str:
    """The storage that a machine is told of when Ray is started on it; empty if it is not."""
    text = " ".join(map(str, commands)) if isinstance(commands, list) else ""
    named = _STARTED.search(text)
    return "".join(shlex.split(named[1])) if named else ""


def shipped_values() -> Mapping[str, Any]:
    """What stands under ``metadata`` in the shipped file."""
    return parse_yaml(TEMPLATE.read_bytes(), "a cluster file", where=str(TEMPLATE))["metadata"]


class ClusterFile:
    """A cluster file like the shipped one, whose values all stand under ``metadata``."""

    def __init__(self, path: Path, *, there: bool = False) -> None:
        """Read a file, or the shipped one if there is none; TuneJobsError if it is another kind.

        One that must be ``there`` raises OSError if it is not.
        """
        self.path = path
        source = path if there or path.exists() else TEMPLATE
        self.text = read_bytes(source, "a cluster file").decode(errors="replace")
        content = parse_yaml(self.text.encode(), "a cluster file", where=str(path))
        values = content.get("metadata") if isinstance(content, dict) else None
        missing = sorted(set(shipped_values()) - set(values if isinstance(values, dict) else ()))
        if missing:
            raise TuneJobsError(
                f"A file to be filled in must have the values of the shipped cluster.yaml; {path} "
                f"has no metadata.{missing[0]}. Name another file."
            )
        assert isinstance(values, dict)
        self.values: Mapping[str, Any] = values

    @property
    def is_filled(self) -> bool:
        """Whether it belongs to an account already."""
        return self.values["account"] != NO_ACCOUNT

    @property
    def storage(self) -> str:
        """Where its machines keep results: ``s3://bucket/prefix``."""
        option = str(self.values["storage"]).partition("TUNE_JOBS_STORAGE=")[2]
        return "".join(shlex.split(option))  # it is quoted for a shell where it has an &

    def fill(self, values: Mapping[str, str]) -> None:
        """Put YAML values in place of those that there are."""
        for name, text in values.items():
            value = text if text.startswith("\n") else f" {text}"
            pattern = rf"(?m)^(  {name}: &{name})(?:{_BLOCK}|[ ](?:.*?)([ ]{{2,}}#.*)?\n)"
            self.text, count = re.subn(
                pattern, lambda old, new=value: f"{old[1]}{new}{old[2] or ''}\n", self.text
            )
            if count != 1:
                raise TuneJobsError(
                    f"A file to be filled in must have a line `{name}: &{name} ...` under "
                    f"metadata; {self.path} has {count}. Name another file."
                )
        content = parse_yaml(self.text.encode(), "a cluster file", where=str(self.path))
        self.values = content["metadata"]

    def write(self) -> None:
        """Write the file, whole or not at all."""
        with archive.written(self.path) as temporary:
            temporary.write_text(self.text, encoding="utf-8")
