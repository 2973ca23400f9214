"""Read YAML files strictly: what could be read in two ways, or grows beyond measure, is refused.

Values are those of PyYAML's safe loader. It takes the last of two equal keys silently, reads
``010`` as 8, ``1:30`` as 90 and ``on`` as true, and follows aliases into structures that no memory
holds; here each of these is an error that names the line.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from tune_jobs.errors import TuneJobsError

MOST_BYTES = 256 * 1024
MOST_VALUES = 100_000  # scalars, lists and mappings, those behind an alias counted every time
MOST_LEVELS = 50  # of lists and mappings within each other

_TAG = "tag:yaml.org,2002:"
_READ_ALIKE = {  # tag of PyYAML -> the plain values to which YAML 1.2 gives the same meaning
    "null": re.compile(r".*", re.DOTALL),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
    "str": re.compile(r"(?!0o[0-7]+\Z).*", re.DOTALL),
    "merge": re.compile(r"<<"),
    "timestamp": re.compile(r"(?!)"),  # YAML 1.2 reads it as text
    "value": re.compile(r"(?!)"),
}


class _RefusedError(yaml.YAMLError):
    """What is refused here although PyYAML would read it."""


def read_yaml(path: str | Path, what: str) -> Any:
    """The content of a YAML file; ``what`` it ought to be is named in errors, as in ``"a study"``.

    Raises TuneJobsError for what is no YAML, can be read in two ways or is too large, and OSError
    for a file that cannot be read.
    """
    return parse_yaml(read_bytes(path, what), what, where=str(path))


def read_bytes(path: str | Path, what: str) -> bytes:
    """The bytes of a YAML file, one more than may be parsed at most; a device is refused."""
    with Path(path).open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise TuneJobsError(f"{path}: {what} must be a YAML file; this is a device.")
        return file.read(MOST_BYTES + 1)


def parse_yaml(data: bytes, what: str, *, where: str) -> Any:
    """The content of a YAML document; ``where`` it came from is named in errors."""
    try:
        if len(data) > MOST_BYTES:
            raise _RefusedError(f"it may have at most {MOST_BYTES:,} bytes, and has more")
        return _load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise TuneJobsError(f"{where}: {what} must be valid YAML: {reason}.") from None


def _load(data: bytes) -> Any:
    loader = yaml.SafeLoader(data)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _Check(loader).count(root, 0)
        return loader.construct_document(root)
    finally:
        loader.dispose()


class _Check:
    """One walk over the nodes of a document, each visited once however many aliases lead to it."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._counts: dict[yaml.Node, int] = {}  # values in a node, itself included
        self._open: set[yaml.Node] = set()

    def count(self, node: yaml.Node, level: int) -> int:
        """Values in a node; raises where it, or anything in it, must not be."""
        if node in self._open:
            raise _RefusedError(f"an anchor must not stand within itself{_line(node)}")
        if level > MOST_LEVELS:
            raise _RefusedError(f"it may nest {MOST_LEVELS} levels deep, and goes on{_line(node)}")
        if node not in self._counts:
            self._open.add(node)
            self._counts[node] = 1 + sum(self.count(part, level + 1) for part in self._parts(node))
            self._open.remove(node)
            if self._counts[node] > MOST_VALUES:
                raise _RefusedError(
                    f"it may have at most {MOST_VALUES:,} values, its aliases written out; there "
                    f"are more{_line(node)}"
                )
        return self._counts[node]

    def _parts(self, node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return node.value
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            self._require_single_keys(node)
            return [part for pair in node.value for part in pair]
        _require_clear(node)
        return []

    def _require_single_keys(self, node: yaml.MappingNode) -> None:
        seen: dict[Any, yaml.Node] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _RefusedError(f"a key must be text or a number; it is not{_line(key_node)}")
            _require_clear(key_node)
            is_merge = key_node.tag == f"{_TAG}merge"
            key = "<<" if is_merge else self._loader.construct_object(key_node)
            if key in seen:
                raise _RefusedError(
                    f"a key must stand once in a mapping; {key!r:.60} stands{_line(seen[key])} "
                    f"and{_line(key_node)}"
                )
            seen[key] = key_node


def _require_clear(node: yaml.Node) -> None:
    """Refuse a value whose meaning depends on the reader."""
    alike = _READ_ALIKE.get(node.tag.removeprefix(_TAG))
    if alike is None or not isinstance(node, yaml.ScalarNode):
        raise _RefusedError(
            "a value must be text, a number, true, false, null, a list or a mapping; got the tag "
            f"{node.tag!r:.60}{_line(node)}"
        )
    is_quoted_text = node.tag == f"{_TAG}str" and node.style is not None
    if not is_quoted_text and not alike.fullmatch(node.value):
        raise _RefusedError(
            f"a value must mean the same in YAML 1.1 and 1.2; {node.value:.60} does not"
            f"{_line(node)}: text is written in quotes, a number in decimal digits, and a truth "
            "value as true or false"
        )


def _line(node: yaml.Node) -> str:
    return f" in line {node.start_mark.line + 1}"
