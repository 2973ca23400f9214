"""Docstrings as Markdown: a layer's contract as a list, examples as code."""

import re
from typing import Any

from griffe import Extension, Object

_CONTRACT = re.compile(r"^(Shape|Units|Learned|Source):\s+", re.MULTILINE)
_EXAMPLE = re.compile(r"(?:^>>> .*(?:\n(?!\s*$).*)*\n?)+", re.MULTILINE)


class Contracts(Extension):
    """Rewrites every docstring that mkdocstrings shows."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring of ours in Markdown.

    >>> as_markdown("Add.\\n\\nShape:   (N) -> (N); of\\n         any size.\\nUnits: pixels.\\n")
    'Add.\\n\\n* **Shape:** (N) -> (N); of\\n  any size.\\n* **Units:** pixels.\\n'
    """
    parts, last = [], 0
    for example in _EXAMPLE.finditer(docstring):
        parts.append(_listed(docstring[last : example.start()]))
        parts.append(f"```python\n{example[0].rstrip()}\n```")
        last = example.end()
    return "\n".join([*parts, _listed(docstring[last:])])


def _listed(text: str) -> str:
    """Text whose lines of a contract are items of a list."""
    lines = []
    for line in text.split("\n"):
        if _CONTRACT.match(line):
            lines.append(_CONTRACT.sub(r"* **\1:** ", line))
        else:
            lines.append(re.sub(r"^\s{4,}(?=\S)", "  ", line))
    return "\n".join(lines)
