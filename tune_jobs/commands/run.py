"""``tune-jobs run``: run a study, on this machine or on a cluster that is there."""

import argparse
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING

from tune_jobs.commands import options
from tune_jobs.errors import TuneJobsError

if TYPE_CHECKING:
    from stir import DatasetSummary
    from tune_jobs.driver.options import RunOptions
    from tune_jobs.plan.opened import OpenedStudy
    from tune_jobs.storage import Storage


def add(commands) -> None:
    parser = options.declare(
        commands,
        "run",
        "run what a study still has to do, phase by phase",
        "tune-jobs run emoji --only model=disco,standard --stop-after 2h",
    )
    add_study(parser)
    parser.add_argument(
        "--address", default="local", metavar="WHERE",
        help="local: this machine; auto: the Ray cluster it is part of; HOST:PORT of one (local)",
    )  # fmt: skip
    parser.add_argument(
        "--stored", action="append", default=[], metavar="DATASET=KEY",
        help="take a dataset from the storage, datasets/NAME-FINGERPRINT.npz, not from --data",
    )  # fmt: skip
    options.add_places(parser)
    options.add_checkpoint_seconds(parser)
    parser.set_defaults(run=_run)


def add_study(parser: argparse.ArgumentParser) -> None:
    """The study to run, and how much of it."""
    options.add_study(parser)
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
    parser.add_argument(
        "--price", type=options.positive_number, metavar="P",
        help="money an hour, of all machines together (what the cluster's machines say they cost)",
    )  # fmt: skip
    parser.add_argument(
        "--budget", type=options.positive_number, metavar="M",
        help="the most money that the study may cost in all; then it stops, with exit status 3",
    )  # fmt: skip
    parser.add_argument("--retry-failed", action="store_true", help="try failed points again")


def _run(args: argparse.Namespace) -> int:
    from tune_jobs.driver.phases import counts, run_study
    from tune_jobs.plan.opened import open_study
    from tune_jobs.plan.scores import read_scores
    from tune_jobs.records.state import TrialState
    from tune_jobs.storage import Storage
    from tune_jobs.study.file import load_study
    from tune_jobs.study.subset import Only
    from tune_jobs.terminal.scores import show_scores

    if os.environ.get("SICONVNET_BACKEND"):
        from tune_jobs.trial.provenance import check_backend

        check_backend()
    study = load_study(args.study)
    storage = Storage(args.storage)
    opened = open_study(study, args.data, _stored(args.stored, storage))
    only = Only.parse(args.only, opened.study)
    if study.search:
        return _run_search(opened, storage, args)

    summary = run_study(
        opened,
        storage,
        _run_options(args),
        only=only,
        say=lambda line: print(line, flush=True),
    )
    finished = [point_id for point_id, state in summary.states.items() if state.has_record]
    show_scores(read_scores(storage, finished).values(), f"results of {study.name}")
    waiting = f", {summary.held:,} waiting for a learning rate" if summary.held else ""
    print(f"study {study.name}: {counts(summary.states)}{waiting}")
    options.name_strays(summary.strays)
    for choice in summary.undecided.values():
        print(f"tune-jobs: {choice.cell.label} is undecided: {choice.undecided}", file=sys.stderr)
    for line in summary.broken:
        print(f"tune-jobs: {line}", file=sys.stderr)
    if summary.spent is not None and not summary.is_complete:
        return _over_budget(summary.spent, args.budget)
    if summary.interrupted:
        print("stopped; the same command goes on from the checkpoints")
        return options.INTERRUPTED
    if TrialState.FAILED in summary.states.values():
        print("failures/ in the storage says why; --retry-failed tries again", file=sys.stderr)
    if finished:
        print(_next_step(args.storage))
    return int(not summary.is_complete)


def _next_step(storage: str) -> str:
    """What to do with results."""
    collect = f"stir-analysis collect --storage {shlex.quote(storage)} --out results"
    return f"next: {collect} && stir-analysis report --results results --out ."


def _run_search(opened: "OpenedStudy", storage: "Storage", args: argparse.Namespace) -> int:
    from tune_jobs.driver.search import describe_counts, run_search
    from tune_jobs.plan.status import take_status
    from tune_jobs.records.state import TrialState
    from tune_jobs.terminal.scores import show_samples
    from tune_jobs.terminal.status import best_sample

    summary = run_search(
        opened,
        storage,
        _run_options(args),
        say=lambda line: print(line, flush=True),
    )
    print(f"search {opened.study.name}: {describe_counts(summary.states, summary.undrawn)}")
    for one in take_status(storage).searches:
        if one.search.study == opened.study.name and one.best:
            print(best_sample(one))
            show_samples(one)
    options.name_strays(summary.strays)
    for line in summary.broken:
        print(f"tune-jobs: {line}", file=sys.stderr)
    if summary.spent is not None and not summary.is_complete:
        return _over_budget(summary.spent, args.budget)
    if summary.interrupted:
        print("stopped; the same command goes on from the checkpoints")
        return options.INTERRUPTED
    if TrialState.FAILED in summary.states:
        print("failures/ in the storage says why; --retry-failed tries again", file=sys.stderr)
    if any(state.has_record for state in summary.states):
        print(_next_step(args.storage))
    return int(not summary.is_complete)


def _over_budget(spent: float, budget: float) -> int:
    print(
        f"stopped: the budget of {budget:,.2f} is spent ({spent:,.2f} so far); the same command "
        "with a larger --budget goes on from the checkpoints"
    )
    return options.OVER_BUDGET


def _run_options(args: argparse.Namespace) -> "RunOptions":
    from tune_jobs.driver.options import RunOptions

    return RunOptions(
        checkpoint_seconds=args.checkpoint_seconds,
        max_concurrent=args.max_concurrent,
        retry_failed=args.retry_failed,
        stop_after_seconds=args.stop_after.get("seconds"),
        stop_after_points=args.stop_after.get("points"),
        address=args.address,
        price=args.price,
        budget=args.budget,
    )


def _stored(given: list[str], storage: "Storage") -> dict[str, "DatasetSummary"]:
    """Datasets of the storage by the names that a study has for them."""
    from tune_jobs.storage.datasets import fetch_dataset

    datasets = {}
    for text in given:
        name, equals, key = text.rpartition("=")
        if not equals or not re.fullmatch(r"datasets/[^/]+-\w{12}\.npz", key):
            raise TuneJobsError(
                "--stored must be DATASET=datasets/NAME-FINGERPRINT.npz, a study's name of a "
                f"dataset and its key in the storage; got {text!r}."
            )
        try:
            datasets[name] = fetch_dataset(key, storage).summary
        except FileNotFoundError:
            raise TuneJobsError(
                f"--stored must name a dataset of the storage; {storage.uri} has no {key}."
            ) from None
    return datasets


def _limit(text: str) -> dict[str, float]:
    """What Budget takes, from ``2h``, ``90min`` or a number of points."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(h|min|)", text)
    amount, unit = (float(match[1]), match[2]) if match else (0.0, "")
    if not amount or (not unit and amount != int(amount)):
        raise argparse.ArgumentTypeError(
            f"must be a time such as 2h or 90min, or a number of points; got {text}"
        )
    return {"seconds": amount * {"h": 3600, "min": 60}[unit]} if unit else {"points": int(amount)}
