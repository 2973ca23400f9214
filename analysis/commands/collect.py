"""``stir-analysis collect``: records into Parquet tables."""

import argparse
import sys

from analysis.collection.collect import Collected, collect
from analysis.commands import options, output
from analysis.results.folder import ResultsFolder
from analysis.text import terminal
from stir.terminal import counted, progress_bar


def add(parser: argparse.ArgumentParser) -> None:
    options.describe(
        parser,
        "Put the records of one or more storages into Parquet tables; only new ones are read.",
        "collect --storage runs --storage s3://bucket/stir --out results",
    )
    parser.add_argument(
        "--storage", action="append", nargs="+", required=True, metavar="URI", help="DIR or s3://"
    )
    options.add_results_out(parser)
    parser.set_defaults(run=_collect)


def _collect(args: argparse.Namespace) -> int:
    storages = [uri for uris in args.storage for uri in uris]
    with progress_bar("Reading objects") as progress:
        found = collect(storages, args.out, progress=progress)
    if not found.seen:
        output.message(
            "A collection must find records, failures or evaluations; there is none in "
            f"{', '.join(storages)}: nothing is collected. `tune-jobs status --storage URI` shows "
            "what a storage holds."
        )
        return output.BAD_INPUT
    output.result(_summary(found, args.out))
    for sentence in ResultsFolder(args.out).disagreements:
        print(terminal(f"note: {sentence}"), file=sys.stderr)
    output.strays(found.strays)
    return output.left_out(found.damaged)


def _summary(found: Collected, out: str) -> str:
    extra = [
        f"{found.failed} failed" if found.failed else "",
        counted(found.evaluations, "new evaluation") if found.evaluations else "",
        f"{found.repeated} in more than one storage" if found.repeated else "",
        f"{len(found.damaged)} damaged" if found.damaged else "",
    ]
    trials = counted(found.finished, "trial")
    counts = [f"{trials} ({found.new:,} new)", *(count for count in extra if count)]
    return f"{out}: {', '.join(counts)}"
