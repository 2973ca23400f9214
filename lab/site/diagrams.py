"""Drawings of boxes in a row or a pile, which need no script in the browser."""

import html
import re
from typing import Any

_NODE = re.compile(r'(\w+)\["(.+?)"\]')


def draw(source: str, *_: Any, **__: Any) -> str:
    """A Mermaid flowchart whose nodes follow each other, as HTML; any other as its source."""
    labels = dict(_NODE.findall(source))
    chains = [line for line in source.splitlines() if "-->" in line]
    if len(chains) != 1 or not source.startswith("flowchart"):
        return f"<pre>{html.escape(source)}</pre>"
    order = [re.match(r"\w+", part.strip()) for part in chains[0].split("-->")]
    down = "flowchart TB" in source
    arrow = f'<span class="arrow" aria-hidden="true">{"↓" if down else "→"}</span>'
    boxes = [f'<span class="box">{_label(labels[name[0]])}</span>' for name in order if name]
    kind = "pile" if down else "row"
    return f'<div class="boxes {kind}" role="img">{arrow.join(boxes)}</div>'


def _label(text: str) -> str:
    """A label; ``|`` parts rooms that share a box, ``<br/>`` breaks the line."""
    escaped = html.escape(text).replace("&lt;br/&gt;", "<br>")
    return escaped.replace(" | ", '<span class="bar"></span>')
