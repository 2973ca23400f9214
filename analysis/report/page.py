"""The parts of the report page that are no tables: drawings and headings as HTML."""

import re

from analysis import style
from analysis.text import as_html

_INKS = {
    style.PAPER: "--page",
    style.INK: "--ink",
    style.FAINT: "--faint",
    style.SHADE: "--shade",
}
_PHONE = 480  # points; a wider drawing is not shrunk to a phone's width but scrolled


def drawing(name: str, *, title: str, caption: str, svg: str, command: str) -> str:
    """A figure with its caption and the command that draws it."""
    width = re.search(r'width="([\d.]+)pt"', svg)
    wide = " wide" if width and float(width[1]) > _PHONE else ""
    return (
        f'<figure id="figure-{name}"><h3>{as_html(title)}</h3>'
        f'<div class="scroll{wide}">{inline(svg, name, label=title)}</div>'
        f"<figcaption>{as_html(caption)}<br><code>{as_html(command)}</code></figcaption></figure>"
    )


def inline(svg: str, name: str, *, label: str) -> str:
    """A drawing fit to stand in a page: ids of its own, colours that follow the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in _INKS.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{as_html(label)}" ', 1)


def note(sentence: str) -> str:
    """A remark that stands out."""
    return f'<p class="note">{as_html(sentence)}</p>'


def section(heading: str, body: str) -> str:
    """A part of the page; nothing where it has no body."""
    if not body:
        return ""
    return f"<section>{f'<h2>{as_html(heading)}</h2>' if heading else ''}{body}</section>"
