"""The command line ``stir``: build, download, check, list and show datasets."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console

from stir import schema
from stir.catalogue import DATASETS
from stir.dataset import STIRDataset, data_folder, load, locate
from stir.errors import StirError
from stir.terminal import Parser, exit_status, progress_bar

INTERRUPTED = 130  # what a shell gives for a command that Ctrl-C ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 2 after a sentence on what is wrong, 130 on Ctrl-C."""
    args = _parser().parse_args(argv)
    try:
        return exit_status(lambda: args.run(args), "stir")
    except KeyboardInterrupt:
        return INTERRUPTED
    except StirError as error:
        print(f"stir: {error}", file=sys.stderr)
    except OSError as error:
        where = f"{error.filename} cannot be used" if error.filename else "the system refuses"
        print(f"stir: {where}: {error.strerror or error}.", file=sys.stderr)
    return 2


def _parser() -> Parser:
    parser = Parser(
        prog="stir",
        description="Datasets of objects of known size at a known place.",
        examples=(
            "stir list                            # which there are, and on what terms",
            "stir build emoji                     # seconds, from an installed package",
            "stir show emoji --out sheet.png      # what is in it",
        ),
    )
    parser.add_version()
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = _command(
        commands, "build", "make a dataset from its raw source", "stir build mnist --raw raw/mnist"
    )
    build.add_argument(
        "name", metavar="NAME",
        help="emoji, mnist, trafficsign, aerial, shapes, emoji-clutter, or one that an installed "
        "package adds",
    )  # fmt: skip
    build.add_argument("--raw", metavar="DIR", help="folder of the source's own files")
    build.set_defaults(run=_build)

    download = _command(
        commands, "download", "fetch published files and verify them", "stir download mnist"
    )
    download.add_argument("name", metavar="NAME", help="emoji, mnist, trafficsign, aerial or all")
    download.add_argument(
        "--base-url", metavar="URL", help="a mirror instead of https://zenodo.org"
    )
    download.set_defaults(run=_download)

    check = _command(
        commands, "check", "say what is wrong with a file", "stir check data/emoji.npz"
    )
    check.add_argument("file", metavar="FILE", help="an .npz file, or the name of a dataset")
    check.set_defaults(run=_check)

    listing = _command(
        commands, "list", "show which datasets there are and on what terms", "stir list --json"
    )
    listing.add_argument("--json", action="store_true", help="print a JSON list")
    listing.set_defaults(run=_list)

    show = _command(
        commands, "show", "draw a sheet of classes and scales", "stir show emoji --out sheet.png"
    )
    show.add_argument("file", metavar="FILE", help="an .npz file, or the name of a dataset")
    show.add_argument("--out", metavar="PNG", required=True, help="the picture to write")
    show.set_defaults(run=_show)

    for command in (build, download):
        command.add_argument("--out", metavar="DIR", help="folder to write to ($STIR_DATA or data)")
    for command in (check, listing, show):
        command.add_argument("--data", metavar="DIR", help="folder to look in ($STIR_DATA or data)")
    return parser


def _command(commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}."
    return commands.add_parser(name, help=summary, description=description, examples=[example])


def _build(args: argparse.Namespace) -> int:
    from stir.build import build

    with progress_bar(f"Building {args.name}") as report:
        path = build(args.name, out_dir=data_folder(args.out), raw_dir=args.raw, progress=report)
    _print_result(args.name, path)
    return 0


def _download(args: argparse.Namespace) -> int:
    from stir.download import BASE_URL, FILES, download

    for name in FILES if args.name == "all" else [args.name]:
        with progress_bar(f"Fetching {name}") as report:
            path = download(
                name,
                out_dir=data_folder(args.out),
                base_url=args.base_url or BASE_URL,
                progress=report,
            )
        _print_result(FILES[name], path)
    return 0


def _check(args: argparse.Namespace) -> int:
    path = locate(args.file, args.data)
    with _busy(f"Reading {path}"):
        found = schema.check(path)
    for sentence in found:
        print(f"stir: {path}: {sentence}", file=sys.stderr)
    if not found:
        dataset = STIRDataset(path)
        print(f"{path}: {dataset}, nothing wrong, fingerprint {dataset.fingerprint}")
    return 2 if found else 0


def _list(args: argparse.Namespace) -> int:
    folder = data_folder(args.data)
    own = sorted(path.stem for path in folder.glob("*.npz") if path.stem not in DATASETS)
    with _busy(f"Reading {folder}"):
        rows = [_entry(name, folder / f"{name}.npz") for name in [*DATASETS, *own]]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        state = f"fingerprint {row['fingerprint'][:12]}" if row["fingerprint"] else "-"
        note = "" if row["benchmark"] else " (not part of the STIR benchmark)"
        print(f"{row['name']:<16} {row['path'] or 'not here'}  {row['error'] or state}")
        print(f"{'':<16} {row['licence'] or 'unknown licence'}{note}")
    return 0


def _entry(name: str, path: Path) -> dict:
    """What ``list`` knows of one dataset."""
    try:
        facts, broken = DATASETS.get(name), None
    except StirError as error:  # of an installed package that cannot be used
        facts, broken = None, str(error)
    row = {
        "name": name,
        "path": str(path) if path.exists() else None,
        "fingerprint": None,
        "error": broken,
        "num_classes": facts and facts.num_classes,
        "num_channels": facts and facts.channels,
        "licence": facts and f"{facts.licence}, {facts.attribution}",
        "source": facts and facts.source,
        "benchmark": bool(facts and facts.benchmark),
    }
    if not path.exists():
        return row
    try:
        dataset = STIRDataset(path)
    except (StirError, OSError) as error:
        return row | {"error": str(error)}
    return row | {
        "fingerprint": dataset.fingerprint,
        "num_classes": dataset.num_classes,
        "num_channels": dataset.num_channels,
        "licence": row["licence"] or dataset.metadata.get("license", "unknown licence"),
    }


def _show(args: argparse.Namespace) -> int:
    from stir import sheet

    sheet.write(load(args.file, args.data), Path(args.out))
    print(args.out)
    return 0


def _print_result(name: str, path: Path) -> None:
    facts = DATASETS[name]
    note = "" if facts.benchmark else "; not part of the STIR benchmark"
    print(f"{name}: {facts.licence}, {facts.attribution}{note}")
    print(f"{path}  fingerprint {STIRDataset(path).fingerprint[:12]}")


@contextmanager
def _busy(label: str) -> Iterator[None]:
    """A spinner on a terminal, for work of unknown length."""
    console = Console(stderr=True)
    with console.status(label) if console.is_terminal else nullcontext():
        yield
