"""The frame of the report page: drawings, sections and contents as HTML, and what may run in it."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template

import vl_convert

from analysis import style
from analysis.text import as_html

_INKS = {
    style.PAPER: "--page",
    style.INK: "--ink",
    style.FAINT: "--faint",
    style.SHADE: "--shade",
}
_PHONE = 480  # points; a wider drawing is not shrunk to a phone's width but scrolled
_VEGA_LITE = "6.4"  # what Altair writes
_SCRIPTS = ("state", "choice", "files", "figures", "tables", "pair", "searches", "samples", "main")


def drawing(name: str, *, title: str, caption: str, alt: str, svg: str, command: str) -> str:
    """A figure with its caption and the command that draws it; ``alt`` says it in words."""
    width = re.search(r'width="([\d.]+)pt"', svg)
    wide = " wide" if width and float(width[1]) > _PHONE else ""
    return (
        f'<figure id="figure-{name}"><h3>{as_html(title)}</h3><div class="printed">'
        f'<div class="scroll{wide}" tabindex="0">{inline(svg, name, label=alt)}</div>'
        f"<figcaption>{as_html(caption)}<br><code>{as_html(command)}</code></figcaption>"
        "</div></figure>"
    )


def inline(svg: str, name: str, *, label: str) -> str:
    """A drawing fit to stand in a page: ids of its own, colours that follow the page's.

    Coordinates are cut to a tenth of a point, which nobody sees.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"(?<=[ MLCQ])(-?\d+\.\d)\d+(?= |\n|\")", r"\1", svg)
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
    head = f'<h2 id="{anchor(heading)}">{as_html(heading)}</h2>' if heading else ""
    return f"<section>{head}{body}</section>"


def anchor(heading: str) -> str:
    """The id of a heading.

    >>> anchor("What ran where")
    'what-ran-where'
    """
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


def contents(headings: Sequence[str], figures: Mapping[str, str]) -> str:
    """Links to the sections, those of figures by name and title below theirs."""
    below = "".join(
        f'<li><a href="#figure-{name}">{as_html(title)}</a></li>' for name, title in figures.items()
    )
    items = [
        f'<li><a href="#{anchor(heading)}">{as_html(heading)}</a>'
        f"{f'<ul>{below}</ul>' if heading == 'Figures' else ''}</li>"
        for heading in headings
    ]
    return f"<ul>{''.join(items)}</ul>"


def page(*, title: str, headline: str, summary: str, contents: str, body: str, data: str) -> str:
    """The whole page. Every text is HTML already, except for title, headline and summary.

    The page reaches for nothing outside itself, and its policy lets no script run but the two that
    stand in it: not even markup that had slipped through could act.
    """
    runtime = _runtime()
    script = _harmless("\n".join(_asset(f"{name}.js") for name in _SCRIPTS))
    allowed = " ".join(f"'sha256-{_digest(one)}'" for one in (runtime, script))
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return Template(_asset("page.html")).substitute(
        title=as_html(title),
        headline=as_html(headline),
        summary=as_html(summary),
        css=_asset("page.css"),
        contents=contents,
        body=body,
        data=data,
        policy=policy,
        runtime=runtime,
        script=script,
    )


@cache
def _runtime() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which takes seconds to put together."""
    snippet = "window.vegaEmbed = vegaEmbed;"
    return _harmless(vl_convert.javascript_bundle(snippet=snippet, vl_version=_VEGA_LITE))


def _asset(name: str) -> str:
    return files("analysis.report").joinpath("assets", name).read_text("utf-8")


def _harmless(script: str) -> str:
    """A script without letters that would end its element."""
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
