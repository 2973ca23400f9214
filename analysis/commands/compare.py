"""``stir-analysis compare``: our cells against the published ones."""

import argparse

import pyarrow as pa

from analysis.commands import options, output
from analysis.report.tables import comparison
from analysis.results.comparison import MARGIN
from analysis.results.folder import ResultsFolder


def add(parser: argparse.ArgumentParser) -> None:
    options.describe(
        parser,
        "Compare our cells with the published ones: difference, interval, verdict.",
        "compare --results results --margin 0.03",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        help=f"difference of accuracies that does not matter (default: {MARGIN})",
    )
    parser.add_argument("--json", action="store_true", help="every number, for a script")
    options.add_results(parser)
    parser.set_defaults(run=_compare)


def _compare(args: argparse.Namespace) -> int:
    table = comparison(ResultsFolder(args.results), margin=args.margin)
    if args.json:
        print(table.frame.to_json(orient="records", indent=1))
    else:
        shown = table.frame.drop(columns=["difference_p", "equivalence_p"])
        output.print_table(pa.Table.from_pandas(shown, preserve_index=False))
        output.result(table.note)
    return 0
