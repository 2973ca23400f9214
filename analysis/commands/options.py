"""What several commands have in common: how they are declared, and the options they share."""

import argparse
from collections.abc import Iterable, Sequence

from analysis.errors import AnalysisError
from stir.terminal import near


def describe(parser: argparse.ArgumentParser, summary: str, example: str) -> None:
    """Describe a command in its help, with an example."""
    parser.description, parser.epilog = summary, f"example: stir-analysis {example}"


def add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", default="results", help="results folder (default: results)")


def add_results_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="results", help="results folder (default: results)")


def add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", choices=["ours", "published", "both"],
        help="whose trials (default: ours if there are any, else published)",
    )  # fmt: skip


def add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", help="folder to write to (default: the results folder)")


def chosen(kind: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    """The names asked for, which may be ``all``; AnalysisError for one that is not known."""
    known = list(known)
    if "all" in names:
        return known
    for name in names:
        if name not in known:
            raise AnalysisError(
                f"A {kind} must be all or one of {', '.join(known)}; got {name!r}."
                f"{near(name, known)}"
            )
    return list(names)
