"""``stir-analysis report``: one HTML page, and the figures in it."""

import argparse
from pathlib import Path

from analysis.commands import options, output
from analysis.figures.settings import own_settings
from stir.terminal import progress_bar
from tune_jobs.storage import Storage


def add(parser: argparse.ArgumentParser) -> None:
    options.describe(
        parser,
        "Write report.html, one page that needs no network, and the figures in it.",
        "report --results results --out .",
    )
    parser.add_argument(
        "--storage",
        metavar="URI",
        help="show test images with right and wrong answers from its predictions, which "
        "tune-jobs evaluate --predictions makes",
    )
    options.add_results(parser)
    options.add_source(parser)
    options.add_out(parser)
    parser.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> int:
    with own_settings():
        from analysis.report.report import report
    with progress_bar("Drawing figures") as progress:
        out = args.out or args.results
        keys = report(
            args.results, out, source=args.source, storage=args.storage, progress=progress
        )
    output.result(f"{Storage(out).uri}/{keys[-1]}")
    if figures := dict.fromkeys(Path(key).stem for key in keys[:-1]):
        output.result(f"{Storage(out).uri}/figures: {', '.join(figures)} (each as svg, pdf, png)")
    return 0
