"""``tune-jobs plan``: what a study still has to do, how long it takes and what it costs."""

import argparse
import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stir.cores import available_cores
from tune_jobs.commands import options
from tune_jobs.commands.calibrate import calibration_here

TABLE_WIDTH = 110  # characters, where there is no terminal

if TYPE_CHECKING:
    from tune_jobs.plan.inventory import Inventory
    from tune_jobs.plan.opened import OpenedStudy
    from tune_jobs.plan.outlook import CellOutlook, Outlook, PhaseOutlook
    from tune_jobs.records.calibration import ModelSeconds
    from tune_jobs.storage import Storage


def add(commands) -> None:
    parser = options.declare(
        commands,
        "plan",
        "show what a study still has to do, how long and at what cost; starts nothing",
        "tune-jobs plan paper --max-concurrent 64 --price 2.50",
    )
    parser.add_argument("study", metavar="STUDY", help="a shipped study's name, or a YAML file")
    parser.add_argument(
        "--max-concurrent", type=options.positive, metavar="N",
        help="trials at once (what fits on this machine)",
    )  # fmt: skip
    parser.add_argument(
        "--price", type=options.positive_number, metavar="P",
        help="money an hour, of all machines that run those trials",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for scripts")
    options.add_places(parser)
    parser.set_defaults(run=_plan)


def _plan(args: argparse.Namespace) -> int:
    from tune_jobs.plan.inventory import take_inventory
    from tune_jobs.plan.opened import open_study
    from tune_jobs.plan.outlook import look_ahead
    from tune_jobs.storage import Storage
    from tune_jobs.study.file import load_study

    opened = open_study(load_study(args.study), args.data)
    cpus = opened.study.resources.cpus
    slots = args.max_concurrent or max(1, available_cores() // cpus)
    storage = Storage(args.storage)
    storage.require_bucket()
    inventory = take_inventory(storage)
    options.name_strays(inventory.strays)
    if opened.study.search:
        return _plan_search(opened, storage, inventory, slots, args)
    outlook = look_ahead(opened, storage, inventory, calibrated=_calibrated(opened, storage))
    if args.json:
        print(json.dumps(_as_json(opened, outlook, slots, args.price), indent=1))
    else:
        _show(opened, outlook, slots, args.price)
    return 0


def _calibrated(opened: "OpenedStudy", storage: "Storage") -> "dict[str, ModelSeconds]":
    """What was measured of this machine, on which trials run unless they are given a GPU."""
    resources = opened.study.resources
    found = None if resources.gpus else calibration_here(storage, threads=resources.cpus)
    return found.models if found else {}


def _plan_search(
    opened: "OpenedStudy",
    storage: "Storage",
    inventory: "Inventory",
    slots: int,
    args: argparse.Namespace,
) -> int:
    from tune_jobs.driver.search import describe_counts
    from tune_jobs.search.outlook import search_outlook

    outlook = search_outlook(opened, storage, inventory, calibrated=_calibrated(opened, storage))
    options.name_strays(outlook.strays)
    seconds = outlook.trial_seconds_left
    hours = None if seconds is None else seconds / 3600 / slots
    money = None if hours is None or args.price is None else hours * args.price
    if args.json:
        plan = {
            "search": opened.study.name,
            **{state.replace(" ", "_"): count for state, count in outlook.states.items()},
            "to_be_drawn": outlook.undrawn,
            "trial_seconds_left": seconds,
            "max_concurrent": slots,
            "hours_left": hours,
            "money": money,
        }
        print(json.dumps(plan, indent=1))
        return 0
    print(f"search {opened.study.name}: {describe_counts(outlook.states, outlook.undrawn)}")
    if hours is None:
        print("left: unknown, as a model has neither records nor a place in the table")
        return 0
    print(f"left: about {hours * slots:,.1f} hours of trials, {hours:,.1f} with {slots} at once")
    if money is not None:
        print(f"money: {money:,.2f} at {args.price:g} an hour")
    if opened.study.search and opened.study.search.asha:
        print("this is as if asha stopped none of them early")
    return 0


def _show(opened: "OpenedStudy", outlook: "Outlook", slots: int, price: float | None) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    tables = Console(width=None if console.is_terminal else TABLE_WIDTH, markup=False)
    for phase in outlook.phases:
        title = f"study {opened.study.name}"
        if len(outlook.phases) > 1:
            title += f", phase {phase.phase.name}: {phase.points:,} points"
        tables.print(_table(phase, title))
    for error in opened.missing.values():
        console.print(f"counted as to do: {error}")
    points = " + ".join(f"{phase.points:,}" for phase in outlook.phases)
    repeated = sum(cell.repeated for cell in outlook.cells)
    if repeated:
        points += f", {repeated:,} of them twice: {outlook.distinct:,} to train in all"
    console.print(f"points: {points}; {outlook.reported:,} reported")
    trial_hours = outlook.known_seconds_left / 3600
    hours = trial_hours / slots
    money = f", {hours * price:,.2f} at {price:g} an hour" if price else ""
    console.print(
        f"left: about {trial_hours:,.1f} hours of trials, {hours:,.1f} with {slots} at once{money}"
    )
    console.print(_source(outlook))


def _source(outlook: "Outlook") -> str:
    """Where the hours are from."""
    sources = Counter(
        cell.trial.source if cell.trial else "" for cell in outlook.cells if cell.left
    )
    parts = {
        "from records": sources["records"],
        "from a calibration of this machine": sources["calibration"],
        "from a table made on one CPU thread": sources["table"],
        "unknown, and left out": sources[""],
    }
    shown = [
        f"{source} for {count} of {sources.total()} cells"
        for source, count in parts.items()
        if count
    ]
    return f"hours are {'; '.join(shown)}" if shown else "nothing is left to do"


def _table(phase: "PhaseOutlook", title: str) -> Any:
    from rich.table import Table

    from tune_jobs.records.state import POINT_STATES

    waiting = any(cell.waiting for cell in phase.cells)
    heads = [*POINT_STATES, "waiting"] if waiting else list(POINT_STATES)
    table = Table("model", "dataset", "scenario", "lr", *heads, "hours left", title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    for cell in phase.cells:
        table.add_row(
            cell.cell.model,
            cell.cell.dataset,
            str(cell.cell.scenario),
            ", ".join(f"{lr:g}" for lr in cell.rates) or "?",
            *(str(cell.states[state]) for state in POINT_STATES),
            *([str(cell.waiting)] if waiting else []),
            f"{cell.seconds_left / 3600:,.1f}" if cell.trial else "?",
        )
    table.add_section()
    table.add_row(
        *("all", "", "", ""),
        *(str(sum(cell.states[state] for cell in phase.cells)) for state in POINT_STATES),
        *([str(sum(cell.waiting for cell in phase.cells))] if waiting else []),
        f"{sum(cell.seconds_left for cell in phase.cells) / 3600:,.1f}",
    )
    return table


def _as_json(
    opened: "OpenedStudy", outlook: "Outlook", slots: int, price: float | None
) -> dict[str, Any]:
    seconds = outlook.trial_seconds_left
    hours = None if seconds is None else seconds / 3600 / slots
    return {
        "study": opened.study.name,
        "distinct_points": outlook.distinct,
        "reported_points": outlook.reported,
        "trial_seconds_left": seconds,
        "max_concurrent": slots,
        "hours_left": hours,
        "money": None if price is None or hours is None else hours * price,
        "missing_datasets": {name: str(error) for name, error in opened.missing.items()},
        "phases": [
            {
                "phase": phase.phase.name,
                "rule": phase.phase.select,
                "points": phase.points,
                "cells": [_cell_as_json(cell) for cell in phase.cells],
            }
            for phase in outlook.phases
        ],
    }


def _cell_as_json(cell: "CellOutlook") -> dict[str, Any]:
    return {
        **asdict(cell.cell),
        "rates": cell.rates,
        "points": cell.points,
        **{state.replace(" ", "_"): count for state, count in cell.states.items()},
        "waiting": cell.waiting,
        "repeated": cell.repeated,
        "left": cell.left,
        "trial_seconds": cell.trial.seconds if cell.trial else None,
        "source": cell.trial.source if cell.trial else None,
        "measured": cell.trial.source == "records" if cell.trial else None,
    }
