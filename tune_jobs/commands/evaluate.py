"""``tune-jobs evaluate``: what finished weights do beyond their accuracy."""

import argparse
import sys
from pathlib import Path

from tune_jobs.commands import options


def add(commands) -> None:
    parser = options.declare(
        commands,
        "evaluate",
        "measure equivariance errors and chosen kernel sizes of a study's finished points",
        "tune-jobs evaluate demo --storage runs",
    )
    parser.add_argument("study", metavar="STUDY", help="a study's name, or its YAML file")
    options.add_storage(parser)
    parser.add_argument(
        "--predictions", action="store_true", help="also store the answer to every test image"
    )
    parser.add_argument(
        "--max-concurrent", type=options.positive, metavar="N", help="points at once (all CPUs)"
    )
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from tune_jobs.evaluations import evaluable, evaluate_points
    from tune_jobs.storage import Storage

    study, imports = _identify(args.study)
    storage = Storage(args.storage)
    points = evaluable(study, storage, predictions=args.predictions)
    print(
        f"study {study}: {len(points.todo)} to evaluate, {len(points.done)} evaluated, "
        f"{len(points.unfinished)} without a result",
        flush=True,
    )
    if not points.todo:
        return int(bool(points.unfinished))
    storage.check_writable()
    failed = 0
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("evaluating", total=len(points.todo))
        passes = evaluate_points(
            points.todo,
            storage,
            predictions=args.predictions,
            imports=imports,
            max_concurrent=args.max_concurrent,
        )
        for done, (point_id, reason) in enumerate(passes, start=1):
            bars.advance(bar)
            if reason:
                failed += 1
                print(f"tune-jobs: {point_id}: {reason}", file=sys.stderr)
            if not console.is_terminal:
                print(f"{done}/{len(points.todo)} {point_id}", flush=True)
    print(f"study {study}: {len(points.todo) - failed} evaluated, {failed} failed")
    return int(bool(failed or points.unfinished))


def _identify(study: str) -> tuple[str, tuple[str, ...]]:
    """The name under which a study's points are stored, and the modules with its models."""
    from tune_jobs.study import load_study

    if Path(study).suffix not in (".yaml", ".yml"):
        return study, ()
    loaded = load_study(study)
    return loaded.name, loaded.imports
