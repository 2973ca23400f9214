"""Command lines that are alike: examples in the help, ``--version``, hints at the nearest name."""

import argparse
import platform
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from stir.terminal.words import near

DISTRIBUTION = "scale-generalization"
OF_INTEREST = {"torch": "PyTorch", "ray": "Ray"}  # where results or faults may depend on them
EXAMPLE = "example: "


_WRONG_NUMBER = re.compile(r"invalid (int|float) value: (.*)")


class Parser(argparse.ArgumentParser):
    """argparse's, with ``examples`` below the help; its commands are of the same kind."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        indent = "\n" + " " * len(EXAMPLE)
        epilog = EXAMPLE + indent.join(examples) if examples else None
        super().__init__(*args, epilog=epilog, formatter_class=_Formatter, **options)
        self._words: Sequence[str] = ()

    def add_version(self) -> None:
        """Add ``--version``: of this project, Python, PyTorch and Ray."""
        self.add_argument("--version", action=_Version, nargs=0, help="show versions and exit")

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]: it is overloaded
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """As argparse's, but a command refuses by itself what it does not know.

        Else the program would, which knows none of the command's options.
        """
        self._words = sys.argv[1:] if args is None else args
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End with status 2 after a sentence, which hints at what may have been meant."""
        hint = _meant_choice(message) or self._meant_option()
        message = _WRONG_NUMBER.sub(_must_be_a_number, message)
        super().error(f"{message}.{hint}" if hint else message)

    def _meant_option(self) -> str:
        """A hint at the option that the first unknown one may stand for."""
        known = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        asked = [word[2:].partition("=")[0] for word in self._words if word.startswith("--")]
        unknown = [name for name in asked if not any(one.startswith(name) for one in known)]
        return near(unknown[0], known).replace("'", "'--", 1) if unknown else ""


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


def _must_be_a_number(found: re.Match[str]) -> str:
    """argparse's sentence about a wrong number as our own say it: the rule, then what came."""
    return f"must be a {'whole ' if found[1] == 'int' else ''}number; got {found[2]}"


def _meant_choice(message: str) -> str:
    """What argparse's sentence about a wrong choice does not say: the nearest right one."""
    found = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
    return near(found[1], re.findall(r"[^', ]+", found[2])) if found else ""
