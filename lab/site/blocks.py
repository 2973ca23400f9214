"""Code blocks of Markdown pages: their language, their marks, and the commands in them."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

SHELL = ("", "bash", "console")
PARSED = frozenset(("cluster", "minutes", "fragment"))  # marks of blocks that are not run
_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it begins, the words after the fence, and what is in it.

    ``marks`` say why it is not run: it needs a cluster or minutes, or is a fragment. A block with
    a ``title`` is a file of that name.
    """

    page: str
    line: int
    language: str
    marks: frozenset[str]
    title: str | None
    text: str

    @property
    def is_run(self) -> bool:
        """Whether a test runs it: it says which language it is in, and nothing speaks against."""
        return bool(self.language) and not self.marks & PARSED

    @property
    def script(self) -> str:
        """What to give to a shell: of a console's text only what follows the prompt."""
        if self.language != "console":
            return self.text
        script, goes_on = [], False
        for line in self.text.splitlines():
            if line.startswith("$ ") or goes_on:
                script.append(line.removeprefix("$ "))
                whole = "\n".join(script)
                goes_on = line.endswith("\\") or whole.count('"') % 2 == 1
        return "\n".join(script)

    def commands(self, *programs: str) -> Iterator[list[str]]:
        """The words of each command line in it that begins with one of the programs, or of all."""
        joined = self.script.replace("\\\n", " ")
        for line in _statements(joined):
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # a quote that is no shell's
                continue
            for part in _parts(words):
                if part and (not programs or part[0] in programs):
                    yield part


def blocks(page: str, text: str) -> list[Block]:
    """All fenced blocks of a page, without the indentation of a list that they stand in."""
    found = []
    for match in _FENCE.finditer(text):
        info = match[2].strip()
        title = _TITLE.search(info)
        language, *marks = _TITLE.sub("", info).split() or [""]
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start()) + 1,
                language=language,
                marks=frozenset(marks),
                title=title[1] if title else None,
                text=textwrap.dedent(match[3]),
            )
        )
    return found


def without_marks(text: str) -> str:
    """A page whose fences have no marks left, which MkDocs does not know."""

    def plain(match: re.Match[str]) -> str:
        words = [word for word in match[2].split(" ") if word not in PARSED]
        return f"{match[1]}```{' '.join(words)}\n{match[3]}{match[1]}```"

    return _FENCE.sub(plain, text)


def _statements(script: str) -> Iterator[str]:
    """Lines of a script, those that a quote holds together as one."""
    whole = ""
    for line in script.splitlines():
        whole = f"{whole}\n{line}" if whole else line
        if whole.partition(" #")[0].count('"') % 2 == 0:
            yield whole
            whole = ""


def _parts(words: list[str]) -> Iterator[list[str]]:
    """The commands that ``&&``, ``;``, ``|`` and ``&`` join in one line; ``X=Y`` before is left."""
    part: list[str] = []
    for word in [*words, ";"]:
        if word in ("&&", ";", "|", "&", "||", ">", ">>", "<"):  # and where output goes
            yield part
            part = []
        elif part or not re.fullmatch(r"[A-Z_]+=.*|\$", word):
            part.append(word)
