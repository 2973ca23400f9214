"""``tune-jobs status``: show the state of the trials in a storage."""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tune_jobs.commands import options
from tune_jobs.records.text import visible

if TYPE_CHECKING:
    from rich.table import Table

    from tune_jobs.plan.searches import SearchStatus
    from tune_jobs.plan.status import Status


def add(commands) -> None:
    parser = options.declare(
        commands,
        "status",
        "show what a storage holds: finished, failed and why, in flight, to do",
        "tune-jobs status --storage s3://bucket/prefix",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    options.add_storage(parser)
    parser.set_defaults(run=_status)


def _status(args: argparse.Namespace) -> int:
    from tune_jobs.plan.status import take_status
    from tune_jobs.storage import Storage

    storage = Storage(args.storage)
    storage.require_there()
    status = take_status(storage)
    options.name_strays(status.strays)
    if args.json:
        print(json.dumps(_as_json(status), indent=1))
    else:
        _show(status, args.storage)
    return 0


def _show(status: "Status", title: str) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not (status.cells or status.searches or status.running or status.damaged):
        console.print(f"{title} holds no trial")
        return
    if status.cells:
        Console(markup=False).print(_table(status, title))
    for line in _lines(status):
        console.print(visible(line))


def _lines(status: "Status") -> Iterator[str]:
    """The lines below the table."""
    for study in status.studies:
        chosen = sum(choice.lr is not None for choice in study.choices)
        rates = f", a learning rate for {chosen} of {len(study.choices)} cells"
        points = f"study {study.study}, phase {study.phase}: {len(study.points):,} points"
        yield points + (rates if study.rule else "")
        for choice in study.choices:
            if choice.lr is None:
                yield f"undecided {choice.cell.label}: {choice.undecided}"
    for one in status.searches:
        yield _search_line(one)
    for one in status.running:
        label = one.point.label if one.point else one.point_id
        ago = time.time() - one.claim.heartbeat
        epoch, _ = one.claim.position
        host = one.claim.host
        yield f"in flight {label}: on {host}, from epoch {epoch}, heartbeat {ago:.0f} s ago"
    for one in status.failed:
        yield f"failed    {one.point.label}, attempt {one.attempts}: {one.error}"
    for line in status.damaged:
        yield f"damaged   {line}"


def _table(status: "Status", title: str) -> "Table":
    from rich.table import Table

    from tune_jobs.records.state import POINT_STATES

    table = Table("dataset", "scenario", "model", *POINT_STATES, title=title)
    for cell, states in status.cells.items():
        numbers = (str(states.get(state, 0)) for state in POINT_STATES)
        table.add_row(visible(cell.dataset), str(cell.scenario), visible(cell.model), *numbers)
    table.add_section()
    totals = (
        sum(states.get(state, 0) for states in status.cells.values()) for state in POINT_STATES
    )
    table.add_row("all", "", "", *map(str, totals))
    return table


def _search_line(one: "SearchStatus") -> str:
    from tune_jobs.driver.search import describe_counts

    line = (
        f"search {one.search.study}: {describe_counts(one.states, one.search.trials - one.drawn)}"
    )
    if one.best:
        sample, outcome = one.best
        drawn = ", ".join(f"{name} {value}" for name, value in sample.drawn.items())
        line += f"; best validation {outcome.best_valid_accuracy:.1%} at {drawn} ({outcome.status})"
    return line


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
    from tune_jobs.records.state import POINT_STATES

    return {
        "cells": [
            asdict(cell) | {state.replace(" ", "_"): states.get(state, 0) for state in POINT_STATES}
            for cell, states in status.cells.items()
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
        "in_flight": [asdict(one) for one in status.running],
        "failed": [asdict(one) for one in status.failed],
        "damaged": status.damaged,
    }
