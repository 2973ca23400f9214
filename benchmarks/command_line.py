"""How the benchmarks are called, and how they print: a docstring as help, a table in Markdown."""

import argparse
from collections.abc import Iterable


def parser_of(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring, the second paragraph of it as an example."""
    summary, example, *more = (docstring or "").strip().split("\n\n")
    return argparse.ArgumentParser(
        description="\n\n".join((summary, *more)),
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def print_head(headings: Iterable[str]) -> None:
    """Begin a table."""
    cells = [*headings]
    print_row(cells)
    print("|" + "---|" * len(cells))


def print_row(cells: Iterable[str]) -> None:
    """Add a row to it, at once."""
    print("| " + " | ".join(cells) + " |", flush=True)
