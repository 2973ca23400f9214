"""The command line ``stir-analysis``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from analysis.cells import Frames
from analysis.collect import Collected, collect
from analysis.errors import AnalysisError
from analysis.figures import canvas
from analysis.figures.gallery import FIGURES
from analysis.query import FORMATS, query
from analysis.report import report
from tune_jobs.storage import Storage, TuneJobsError

LEFT_OUT = 1  # exit status: done, but something was damaged, is named, and is not in the tables
BAD_INPUT = 2


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except (AnalysisError, TuneJobsError, OSError) as error:
        print(f"stir-analysis: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stir-analysis", description="Records to tables, statistics, figures and a report."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, summary: str, example: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example: stir-analysis {example}",
        )
        made.set_defaults(run=run)
        return made

    collecting = command(
        "collect",
        _collect,
        "Put the records of one or more storages into Parquet tables; only new ones are read.",
        "collect --storage runs --storage s3://bucket/stir --out results",
    )
    collecting.add_argument(
        "--storage", action="append", nargs="+", required=True, metavar="URI", help="DIR or s3://"
    )
    collecting.add_argument("--out", default="results", help="results folder (default: results)")

    asking = command(
        "query",
        _query,
        "Answer a SELECT over the tables trials, epochs and scale_accuracy (DuckDB's SQL).",
        'query "select model, avg(test_accuracy) from trials group by 1" --results results',
    )
    asking.add_argument("sql")
    asking.add_argument("--format", choices=["table", *FORMATS], default="table")
    asking.add_argument("--out", type=Path, metavar="FILE", help="write the answer to a file")

    drawing = command(
        "figures",
        _figures,
        f"Draw figures as SVG, PDF and PNG: all, or {', '.join(FIGURES)}.",
        "figures all --results results --out .",
    )
    drawing.add_argument("names", nargs="*", default=["all"], metavar="NAME")

    reporting = command(
        "report",
        _report,
        "Write report.html, one page that needs no network, and the figures in it.",
        "report --results results --out .",
    )
    for made in (asking, drawing, reporting):
        made.add_argument("--results", default="results", help="default: results")
    for made in (drawing, reporting):
        made.add_argument("--out", help="folder to write to (default: the results folder)")
    return parser


def _collect(args: argparse.Namespace) -> int:
    storages = [uri for uris in args.storage for uri in uris]
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading records", total=None)
        found = collect(
            storages,
            args.out,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(_sentence(found, args.out))
    for line in found.damaged:
        print(f"left out: {line}", file=sys.stderr)
    return LEFT_OUT if found.damaged else 0


def _sentence(found: Collected, out: str) -> str:
    extra = [
        f"{found.failed} failed" if found.failed else "",
        f"{found.repeated} in more than one storage" if found.repeated else "",
        f"{len(found.damaged)} damaged" if found.damaged else "",
    ]
    words = [f"{found.finished} trials ({found.new} new)", *(word for word in extra if word)]
    return f"{out}: {', '.join(words)}"


def _query(args: argparse.Namespace) -> int:
    answer = query(args.sql, args.results)
    if args.format == "table" and args.out is None:
        _print_table(answer)
        return 0
    kind = args.format if args.format != "table" else args.out.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise AnalysisError(
            f"A file must end in one of {', '.join(FORMATS)}, or --format say which; "
            f"got {args.out}."
        )
    if args.out is not None:
        Storage(args.out.parent).write(args.out.name, FORMATS[kind](answer))
    elif kind == "parquet":
        raise AnalysisError("Parquet is not for a terminal; give a file with --out FILE.")
    else:
        print(FORMATS[kind](answer).decode(), end="")
    return 0


def _print_table(answer: pa.Table) -> None:
    table = Table(box=None, header_style="bold")
    for column in answer.schema:
        right = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        table.add_column(column.name, justify="right" if right else "left", overflow="fold")
    for row in answer.to_pylist():
        table.add_row(*(_shown(value) for value in row.values()))
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    console.print(table, markup=False, highlight=False)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _figures(args: argparse.Namespace) -> int:
    names = list(FIGURES) if "all" in args.names else args.names
    for name in names:
        if name not in FIGURES:
            raise AnalysisError(
                f"A figure must be all or one of {', '.join(FIGURES)}; got {name!r}."
            )
    frames, out = Frames(args.results), Storage(args.out or args.results)
    for name in names:
        for key in canvas.save(FIGURES[name].draw(frames), out, name):
            print(f"{out.uri}/{key}")
    return 0


def _report(args: argparse.Namespace) -> int:
    keys = report(args.results, args.out or args.results)
    print(f"{Storage(args.out or args.results).uri}/{keys[-1]}")
    return 0
