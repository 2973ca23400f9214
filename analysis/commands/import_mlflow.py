"""``stir-analysis import-mlflow``: the published results into the same tables as ours."""

import argparse

from analysis.collection.mlflow import import_mlflow
from analysis.commands import options, output
from stir.terminal import counted


def add(parser: argparse.ArgumentParser) -> None:
    options.describe(
        parser,
        "Put an MLflow CSV export in the published format into the tables, as source published.",
        "import-mlflow clean.csv --by-scale generalization.csv --out results",
    )
    parser.add_argument("file", help="CSV or .csv.gz, a row per run, accuracies in percent")
    parser.add_argument(
        "--by-scale",
        metavar="FILE",
        help="CSV, a row per run: model, data, eval or run_id; s17 .. s64 (0..1)",
    )
    options.add_results_out(parser)
    parser.set_defaults(run=_import_mlflow)


def _import_mlflow(args: argparse.Namespace) -> int:
    found = import_mlflow(args.file, args.out, by_scale=args.by_scale)
    trials, cells = counted(found.trials, "published trial"), counted(found.cells, "cell")
    output.result(
        f"{args.out}: {trials} in {cells}, {found.by_scale} with accuracies by scale, "
        f"{counted(len(found.left_out), 'row')} left out"
    )
    return output.left_out(found.left_out)
