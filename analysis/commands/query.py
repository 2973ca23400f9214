"""``stir-analysis query``: SQL over the results tables."""

import argparse
from pathlib import Path

from analysis.commands import options, output
from analysis.errors import AnalysisError
from analysis.results.answers import FORMATS, as_file
from analysis.results.query import MOST_SECONDS, query
from analysis.results.reporting import REPORTED
from analysis.tables.schemas import SCHEMAS
from tune_jobs.storage import Storage


def add(parser: argparse.ArgumentParser) -> None:
    options.describe(
        parser,
        f"Answer a SELECT over {REPORTED} (the trials that figures average) and the tables "
        f"{', '.join(SCHEMAS)} (DuckDB's SQL).",
        f'query "select model, avg(test_accuracy) from {REPORTED} group by 1" --results results',
    )
    parser.add_argument("sql")
    parser.add_argument("--format", choices=["table", *FORMATS], default="table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the answer to a file")
    parser.add_argument(
        "--seconds", type=float, default=MOST_SECONDS, metavar="N",
        help=f"give up after so long (default: {MOST_SECONDS:g})",
    )  # fmt: skip
    options.add_results(parser)
    parser.set_defaults(run=_query)


def _query(args: argparse.Namespace) -> int:
    kind = _kind(args)
    if not args.seconds > 0:
        raise AnalysisError(f"The seconds of a query must be above 0; got {args.seconds:g}.")
    answer = query(args.sql, args.results, most_seconds=args.seconds)
    if kind == "table":
        output.print_table(answer)
    elif args.out is not None:
        Storage(args.out.parent).write(args.out.name, as_file(answer, kind))
    else:
        print(as_file(answer, kind).decode(), end="")
    return 0


def _kind(args: argparse.Namespace) -> str:
    """The format asked for, or that a file's name says."""
    if args.out is None:
        if args.format == "parquet":
            raise AnalysisError("Parquet is not for a terminal; give a file with --out FILE.")
        return args.format
    kind = args.format if args.format != "table" else args.out.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise AnalysisError(
            f"A file must end in one of {', '.join(FORMATS)}, or --format say which; "
            f"got {args.out}."
        )
    return kind
