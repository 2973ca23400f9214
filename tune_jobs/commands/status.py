"""``tune-jobs status``: show the state of the trials in a storage."""

import argparse
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tune_jobs.commands import options

if TYPE_CHECKING:
    from tune_jobs.plan.scores import Scores
    from tune_jobs.plan.searches import SearchStatus
    from tune_jobs.plan.status import Status


WATCH_SECONDS = 10.0


def add(commands) -> None:
    parser = options.declare(
        commands,
        "status",
        "show what a storage holds: accuracies so far, finished, failed and why, in flight, to do",
        "tune-jobs status --storage s3://bucket/prefix",
        "tune-jobs status --watch",
    )
    parser.add_argument(
        "--watch", type=options.positive_number, nargs="?", const=WATCH_SECONDS, metavar="SEC",
        help=f"look again every SEC seconds ({WATCH_SECONDS:g}), until nothing runs or is to do",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for scripts")
    options.add_storage(parser)
    parser.set_defaults(run=_status)


def _status(args: argparse.Namespace) -> int:
    from tune_jobs.plan.status import take_status
    from tune_jobs.storage import Storage
    from tune_jobs.terminal.status import clear, show_status

    storage = Storage(args.storage)
    storage.require_there()
    known: Scores = {}
    while True:
        status = take_status(storage, known)
        if args.watch:
            clear()
        options.name_strays(status.strays)
        if args.json:
            print(json.dumps(_as_json(status), indent=1))
        else:
            show_status(status, args.storage)
        if not (args.watch and status.is_unfinished):
            return 0
        time.sleep(args.watch)


def _search_as_json(one: "SearchStatus") -> dict[str, Any]:
    best = None
    if one.best:
        sample, outcome = one.best
        best = {
            "point_id": sample.point_id,
            "drawn": sample.drawn,
            "status": outcome.status,
            "best_valid_accuracy": outcome.best_valid_accuracy,
        }
    states = {state.replace(" ", "_"): count for state, count in one.states.items()}
    return {
        "search": one.search.study,
        "trials": one.search.trials,
        "drawn": one.drawn,
        **states,
        "best": best,
    }


def _as_json(status: "Status") -> dict[str, Any]:
    from tune_jobs.plan.scores import standings
    from tune_jobs.records.rental import cost_of, expenses
    from tune_jobs.records.state import POINT_STATES

    return {
        "cells": [
            asdict(cell) | {state.replace(" ", "_"): states.get(state, 0) for state in POINT_STATES}
            for cell, states in status.cells.items()
        ],
        "accuracies": [
            asdict(one.cell)
            | {"lr": one.lr, "seeds": len(one.accuracies), "mean_test_accuracy": one.mean}
            for one in standings(status.scores.values())
        ],
        "studies": [
            {
                "study": study.study,
                "phase": study.phase,
                "points": len(study.points),
                "rule": study.rule,
                "undecided": [
                    asdict(choice.cell) | {"reason": choice.undecided}
                    for choice in study.choices
                    if choice.lr is None
                ],
            }
            for study in status.studies
        ],
        "searches": [_search_as_json(one) for one in status.searches],
        "costs": [
            {
                "study": study,
                "cost": cost_of(rentals),
                "machines": [asdict(one) for one in expenses(rentals)],
            }
            for study, rentals in status.rentals.items()
        ],
        "in_flight": [asdict(one) for one in status.running],
        "failed": [asdict(one) for one in status.failed],
        "damaged": status.damaged,
    }
