"""The command line ``stir``: build, fetch, check, list and look at datasets."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stir import progress
from stir.catalogue import DATASETS
from stir.dataset import STIRDataset, data_folder
from stir.errors import StirError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 2 after a sentence on what is wrong."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except (StirError, OSError) as error:
        print(f"stir: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stir", description="STIR datasets.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = _command(commands, "build", "make a dataset from its raw source", "stir build emoji")
    build.add_argument("name", metavar="NAME", help="emoji, mnist, trafficsign, aerial, shapes")
    build.add_argument("--raw", metavar="DIR", help="folder of the source's own files")
    build.add_argument("--out", metavar="DIR", help="where NAME.npz goes ($STIR_DATA, else data)")
    build.set_defaults(run=_build)
    return parser


def _command(commands, name: str, words: str, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=words, description=words.capitalize() + ".", epilog=f"example: {example}"
    )


def _build(args: argparse.Namespace) -> int:
    from stir.build import build

    with _bar(f"Building {args.name}") as tell:
        path = build(args.name, out_dir=data_folder(args.out), raw_dir=args.raw, progress=tell)
    _print_terms(args.name)
    print(f"{path}  fingerprint {STIRDataset(path).fingerprint[:12]}")
    return 0


def _print_terms(name: str) -> None:
    facts = DATASETS[name]
    note = "" if facts.benchmark else "; not part of the STIR benchmark"
    print(f"{name}: {facts.licence}, {facts.attribution}{note}")


@contextmanager
def _bar(words: str) -> Iterator[progress.Progress]:
    """A bar on a terminal; elsewhere nothing but the result is printed."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
