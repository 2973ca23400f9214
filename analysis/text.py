"""Text from elsewhere (names, messages, host names), made safe for the medium that shows it.

One function per medium. All of them first make visible what would act on the reader's screen
instead of being read: control characters, and marks that turn the direction of a line.
"""

import html
import re

from tune_jobs.records.text import visible

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # after the end of a row it would be an argument of it
    '"': r"\textquotedbl{}",
} | {sign: "\\" + sign for sign in "&%$#_{}"}
_MARKDOWN = re.compile(r"([\\`*_|<>~]|\](?=\()|^#)")


def terminal(text: str) -> str:
    r"""Text for a terminal: what ``visible`` gives, line by line.

    >>> terminal("one\ntwo\x07")
    'one\ntwo\\x07'
    """
    return "\n".join(visible(line) for line in text.split("\n"))


def as_html(text: str) -> str:
    """Text for an HTML page or an attribute in it.

    >>> as_html("<b>")
    '&lt;b&gt;'
    """
    return html.escape(visible(text))


def as_markdown(text: str) -> str:
    r"""Text for a cell of a Markdown table.

    >>> as_markdown("a|b_c")
    'a\\|b\\_c'
    """
    return _MARKDOWN.sub(r"\\\1", visible(text))


def as_latex(text: str) -> str:
    r"""Text for LaTeX.

    >>> as_latex("5 % of x_1")
    '5 \\% of x\\_1'
    """
    return "".join(_LATEX.get(sign, sign) for sign in visible(text))
