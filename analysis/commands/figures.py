"""``stir-analysis figures``: every figure as SVG, PDF and PNG."""

import argparse
import re

from analysis.commands import options, output
from analysis.errors import AnalysisError
from analysis.figures.catalogue import CAPTIONS
from analysis.figures.settings import own_settings
from analysis.results.evaluations import Object
from analysis.results.folder import ResultsFolder
from stir.terminal import progress_bar
from tune_jobs.storage import Storage


def add(parser: argparse.ArgumentParser) -> None:
    options.describe(
        parser,
        f"Draw figures as SVG, PDF and PNG: all, or {', '.join(CAPTIONS)}.",
        "figures all --results results --out .",
    )
    parser.add_argument("names", nargs="*", default=["all"], metavar="NAME")
    parser.add_argument(
        "--object", type=_object, metavar="CLASS/NUMBER",
        help="the test object of pooling and index-maps, counted from 0 (default: 33/0, which the "
        "paper shows, where it was evaluated; else the first)",
    )  # fmt: skip
    options.add_results(parser)
    options.add_source(parser)
    options.add_out(parser)
    parser.set_defaults(run=_figures)


def _figures(args: argparse.Namespace) -> int:
    names = options.chosen("figure", args.names, CAPTIONS)
    with own_settings():
        from analysis.figures import canvas
        from analysis.figures.gallery import draw_figures
    folder, out = ResultsFolder(args.results, args.source), Storage(args.out or args.results)
    why_not: dict[str, str] = {}
    drawn: list[str] = []
    with progress_bar("Drawing figures") as progress:
        figures = draw_figures(folder, names, shown=args.object)
        for done, (name, figure) in enumerate(figures, start=1):
            if isinstance(figure, AnalysisError):
                why_not[name] = str(figure)
            else:
                canvas.save(figure, out, name)
                drawn.append(name)
            progress(done, len(names))
    if drawn:
        output.result(f"{out.uri}/figures: {', '.join(drawn)} (each as svg, pdf, png)")
    return output.skipped(why_not, asked=args.names, made=len(drawn))


def _object(text: str) -> Object:
    if not re.fullmatch(r"\d{1,6}/\d{1,6}", text):
        raise argparse.ArgumentTypeError(f"must be CLASS/NUMBER, such as 33/0; got {text!r}")
    class_index, _, instance = text.partition("/")
    return Object(int(class_index), int(instance))
