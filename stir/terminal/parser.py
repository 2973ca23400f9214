"""Command lines that are alike: examples in the help, ``--version``, hints at the nearest name."""

import argparse
import platform
import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

DISTRIBUTION = "scale-generalization"
OF_INTEREST = {"torch": "PyTorch", "ray": "Ray"}  # where results or faults may depend on them
EXAMPLE = "example: "


class Parser(argparse.ArgumentParser):
    """argparse's, with ``examples`` below the help; its commands are of the same kind."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        indent = "\n" + " " * len(EXAMPLE)
        epilog = EXAMPLE + indent.join(examples) if examples else None
        super().__init__(*args, epilog=epilog, formatter_class=_Formatter, **options)

    def add_version(self) -> None:
        """Add ``--version``: of this project, Python, PyTorch and Ray."""
        self.add_argument("--version", action=_Version, nargs=0, help="show versions and exit")

    def error(self, message: str) -> NoReturn:
        """End with status 2 after a sentence, which hints at what may have been meant."""
        super().error(f"{message}{_hint(message)}")


class _Formatter(argparse.HelpFormatter):
    """argparse's, which keeps the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(EXAMPLE) else super()._fill_text(text, width, indent)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> NoReturn:
        prog = parser.prog.split()[0]
        parts = [f"{prog} {_version(DISTRIBUTION)}", f"Python {platform.python_version()}"]
        parts += [f"{name} {_version(home)}" for home, name in OF_INTEREST.items()]
        print(", ".join(parts))  # noqa: T201
        parser.exit()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "is not installed"


def _hint(message: str) -> str:
    """What argparse's sentence about a wrong choice does not say: the nearest right one."""
    found = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
    if not found:
        return ""
    near = get_close_matches(found[1], re.findall(r"[^', ]+", found[2]), n=1)
    return f". Did you mean {near[0]!r}?" if near else ""
