"""The command line ``stir-analysis``."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from analysis.collection.collect import Collected, collect
from analysis.collection.mlflow import import_mlflow
from analysis.errors import AnalysisError
from analysis.figures import canvas
from analysis.figures.gallery import FIGURES, drawn
from analysis.report.printed import FORMATS as PRINTED
from analysis.report.printed import TABLES
from analysis.report.report import report
from analysis.results.comparison import MARGIN, NOTHING_COMPARABLE, compared
from analysis.results.folder import Frames
from analysis.results.query import FORMATS, REPORTED, query
from analysis.tables.schemas import SCHEMAS
from tune_jobs.errors import TuneJobsError
from tune_jobs.storage import Storage

LEFT_OUT = 1  # exit status: done, but something was damaged, is named, and is not in the tables
BAD_INPUT = 2
INTERRUPTED = 130  # what a shell gives for a command that Ctrl-C ended


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        return INTERRUPTED
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
        f"Answer a SELECT over {REPORTED} (the trials that figures average) and the tables "
        f"{', '.join(SCHEMAS)} (DuckDB's SQL).",
        f'query "select model, avg(test_accuracy) from {REPORTED} group by 1" --results results',
    )
    asking.add_argument("sql")
    asking.add_argument("--format", choices=["table", *FORMATS], default="table")
    asking.add_argument("--out", type=Path, metavar="FILE", help="write the answer to a file")

    importing = command(
        "import-mlflow",
        _import_mlflow,
        "Put an MLflow CSV export in the published format into the tables, as source published.",
        "import-mlflow mlflow_export.csv.gz --by-scale scale_accuracy.csv.gz --out results",
    )
    importing.add_argument("file", help="CSV or .csv.gz, a row per run, accuracies in percent")
    importing.add_argument("--by-scale", metavar="FILE", help="CSV: run_id, s17 .. s64 (0..1)")
    importing.add_argument("--out", default="results", help="results folder (default: results)")

    drawing = command(
        "figures",
        _figures,
        f"Draw figures as SVG, PDF and PNG: all, or {', '.join(FIGURES)}.",
        "figures all --results results --out .",
    )
    drawing.add_argument("names", nargs="*", default=["all"], metavar="NAME")

    printing = command(
        "tables",
        _tables,
        f"Print tables: all, or {', '.join(TABLES)}.",
        "tables accuracy --format tex --results results",
    )
    printing.add_argument("names", nargs="*", default=["all"], metavar="NAME")
    printing.add_argument("--format", choices=list(PRINTED), default="md", help="default: md")
    printing.add_argument("--out", metavar="DIR", help="write a file per table instead")

    comparing = command(
        "compare",
        _compare,
        "Compare our cells with the published ones: difference, interval, verdict.",
        "compare --results results --margin 0.03",
    )
    comparing.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        help=f"difference of accuracies that does not matter (default: {MARGIN})",
    )
    comparing.add_argument("--json", action="store_true", help="every number, for a script")

    reporting = command(
        "report",
        _report,
        "Write report.html, one page that needs no network, and the figures in it.",
        "report --results results --out .",
    )
    for made in (asking, drawing, printing, comparing, reporting):
        made.add_argument("--results", default="results", help="default: results")
    for made in (drawing, printing, reporting):
        made.add_argument(
            "--source",
            choices=["ours", "published", "both"],
            help="whose trials (default: ours if there are any, else published)",
        )
    for made in (drawing, reporting):
        made.add_argument("--out", help="folder to write to (default: the results folder)")
    return parser


def _collect(args: argparse.Namespace) -> int:
    storages = [uri for uris in args.storage for uri in uris]
    with _progress("Reading objects") as progress:
        found = collect(storages, args.out, progress=progress)
    print(_sentence(found, args.out))
    for sentence in found.disagreements:
        print(f"note: {sentence}", file=sys.stderr)
    return _left_out(found.damaged)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, else a line at each step; both on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: print(f"{what}: {done} of {total}", file=sys.stderr)
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _left_out(sentences: Sequence[str]) -> int:
    for sentence in sentences:
        print(f"left out: {sentence}", file=sys.stderr)
    return LEFT_OUT if sentences else 0


def _import_mlflow(args: argparse.Namespace) -> int:
    found = import_mlflow(args.file, args.out, by_scale=args.by_scale)
    print(
        f"{args.out}: {found.trials} published trials in {found.cells} cells, "
        f"{found.by_scale} with accuracies by scale, {len(found.left_out)} rows left out"
    )
    return _left_out(found.left_out)


def _sentence(found: Collected, out: str) -> str:
    extra = [
        f"{found.failed} failed" if found.failed else "",
        f"{found.evaluations} new evaluations" if found.evaluations else "",
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


def _chosen(kind: str, names: Sequence[str], table: Mapping[str, object]) -> list[str]:
    if "all" in names:
        return list(table)
    for name in names:
        if name not in table:
            raise AnalysisError(f"A {kind} must be all or one of {', '.join(table)}; got {name!r}.")
    return list(names)


def _figures(args: argparse.Namespace) -> int:
    names = _chosen("figure", args.names, FIGURES)
    frames, out = Frames(args.results, args.source), Storage(args.out or args.results)
    why_not: dict[str, str] = {}
    with _progress("Drawing figures") as progress:
        for done, (name, figure) in enumerate(drawn(frames, names), start=1):
            if isinstance(figure, AnalysisError):
                why_not[name] = str(figure)
            else:
                for key in canvas.save(figure, out, name):
                    print(f"{out.uri}/{key}")
            progress(done, len(names))
    return _skipped(why_not, named="all" not in args.names)


def _tables(args: argparse.Namespace) -> int:
    frames, why_not = Frames(args.results, args.source), {}
    for name in _chosen("table", args.names, TABLES):
        try:
            text = PRINTED[args.format](TABLES[name](frames))
        except AnalysisError as error:
            why_not[name] = str(error)
            continue
        if args.out is None:
            print(text)
        else:
            Storage(args.out).write(f"{name}.{args.format}", text.encode())
    return _skipped(why_not, named="all" not in args.names)


def _skipped(why_not: Mapping[str, str], *, named: bool) -> int:
    """Say what could not be made; that is an error only for what was asked for by name."""
    for name, why in why_not.items():
        print(f"stir-analysis: no {name}: {why}", file=sys.stderr)
    return BAD_INPUT if named and why_not else 0


def _compare(args: argparse.Namespace) -> int:
    table = compared(Frames(args.results), margin=args.margin)
    if table.empty:
        raise AnalysisError(NOTHING_COMPARABLE)
    if args.json:
        print(table.to_json(orient="records", indent=1))
    else:
        shown = table.drop(columns=["difference_p", "equivalence_p"])
        _print_table(pa.Table.from_pandas(shown, preserve_index=False))
        print(f"agrees: within {args.margin:g} by two one-sided tests at 5 %")
    return 0


def _report(args: argparse.Namespace) -> int:
    with _progress("Drawing figures") as progress:
        out = args.out or args.results
        keys = report(args.results, out, source=args.source, progress=progress)
    print(f"{Storage(out).uri}/{keys[-1]}")
    return 0
