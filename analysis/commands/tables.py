"""``stir-analysis tables``: tables as Markdown, LaTeX or CSV."""

import argparse

from analysis.commands import options, output
from analysis.errors import AnalysisError
from analysis.report.renderers import FORMATS
from analysis.report.tables import TABLES
from analysis.results.folder import ResultsFolder
from tune_jobs.storage import Storage


def add(parser: argparse.ArgumentParser) -> None:
    options.describe(
        parser,
        f"Print tables: accuracy unless asked for others, which are all, or {', '.join(TABLES)}.",
        "tables accuracy --format tex --results results",
    )
    parser.add_argument("names", nargs="*", default=["accuracy"], metavar="NAME")
    parser.add_argument("--format", choices=list(FORMATS), default="md", help="default: md")
    parser.add_argument("--out", metavar="DIR", help="write a file per table instead")
    options.add_results(parser)
    options.add_source(parser)
    parser.set_defaults(run=_tables)


def _tables(args: argparse.Namespace) -> int:
    folder, why_not = ResultsFolder(args.results, args.source), {}
    names = options.chosen("table", args.names, TABLES)
    if args.format == "csv" and args.out is None and len(names) > 1:
        raise AnalysisError(
            f"CSV on the terminal must be of one table; got {', '.join(names)}. Name one, or write "
            "a file for each with --out DIR."
        )
    for name in names:
        try:
            text = FORMATS[args.format](TABLES[name](folder))
        except AnalysisError as error:
            why_not[name] = str(error)
            continue
        if args.out is None:
            print(text)
        else:
            Storage(args.out).write(f"{name}.{args.format}", text.encode())
    return output.skipped(why_not, asked=args.names, made=len(names) - len(why_not))
