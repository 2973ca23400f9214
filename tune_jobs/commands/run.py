"""``tune-jobs run``: do it, on this machine."""

import argparse
import re
import sys

from tune_jobs.commands import options


def add(commands) -> None:
    parser = options.declare(
        commands,
        "run",
        "run what a study still has to do, phase by phase, on this machine",
        "tune-jobs run emoji --only model=disco,standard --stop-after 2h",
    )
    parser.add_argument("study", metavar="STUDY", help="a shipped study's name, or a YAML file")
    parser.add_argument(
        "--only", action="append", default=[], metavar="AXIS=V,V",
        help="a part of the study, such as model=disco; given twice, both must hold",
    )  # fmt: skip
    parser.add_argument(
        "--max-concurrent", type=options.positive, metavar="N", help="trials at once (what fits)"
    )
    parser.add_argument(
        "--stop-after", type=_limit, default={}, metavar="LIMIT",
        help="so much time (2h, 90min), or so many points (100)",
    )  # fmt: skip
    parser.add_argument("--retry-failed", action="store_true", help="try failed points again")
    options.add_places(parser)
    options.add_checkpoint_seconds(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from tune_jobs.only import Only
    from tune_jobs.phases import Budget, counts, run_study
    from tune_jobs.plan import State, open_study
    from tune_jobs.storage import Storage
    from tune_jobs.study import load_study

    study = load_study(args.study)
    storage = Storage(args.storage)
    opened = open_study(study, args.data)
    only = Only.parse(args.only, opened.study)

    summary = run_study(
        opened,
        storage,
        only=only,
        budget=Budget(**args.stop_after),
        retry_failed=args.retry_failed,
        checkpoint_seconds=args.checkpoint_seconds,
        max_concurrent=args.max_concurrent,
        say=lambda line: print(line, flush=True),
    )
    waiting = f", {summary.held:,} waiting for a learning rate" if summary.held else ""
    print(f"study {study.name}: {counts(summary.states)}{waiting}")
    for choice in summary.undecided.values():
        print(f"tune-jobs: {choice.cell.label} is undecided: {choice.undecided}", file=sys.stderr)
    for line in summary.broken:
        print(f"tune-jobs: {line}", file=sys.stderr)
    if summary.interrupted:
        print("stopped; the same command goes on from the checkpoints")
        return options.INTERRUPTED
    if State.FAILED in summary.states.values():
        print("failures/ in the storage says why; --retry-failed tries again", file=sys.stderr)
    return int(not summary.is_complete)


def _limit(text: str) -> dict[str, float]:
    """What Budget takes, from ``2h``, ``90min`` or a number of points."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(h|min|)", text)
    amount, unit = (float(match[1]), match[2]) if match else (0.0, "")
    if not amount or (not unit and amount != int(amount)):
        raise argparse.ArgumentTypeError(
            f"must be a time such as 2h or 90min, or a number of points; got {text}"
        )
    return {"seconds": amount * {"h": 3600, "min": 60}[unit]} if unit else {"points": int(amount)}
