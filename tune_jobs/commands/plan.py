"""``tune-jobs plan``: what a study still has to do, how long it takes and what it costs."""

import argparse
import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from stir.cores import available_cores
from tune_jobs.commands import options, plan_machines

if TYPE_CHECKING:
    from tune_jobs.plan.inventory import Inventory
    from tune_jobs.plan.opened import OpenedStudy
    from tune_jobs.plan.outlook import CellOutlook, Outlook
    from tune_jobs.storage import Storage
    from tune_jobs.study.study import Resources


def add(commands) -> None:
    parser = options.declare(
        commands,
        "plan",
        "show what a study still has to do, how long and at what cost; starts nothing",
        "tune-jobs plan paper --max-concurrent 64 --price 2.50",
        "tune-jobs plan my_study.yaml --cells",
    )
    options.add_study(parser)
    parser.add_argument(
        "--max-concurrent", type=options.positive, metavar="N",
        help="trials at once (what fits on this machine)",
    )  # fmt: skip
    parser.add_argument(
        "--price", type=options.positive_number, metavar="P",
        help="money an hour, of all machines that run those trials",
    )  # fmt: skip
    parser.add_argument(
        "--cells", action="store_true",
        help="a row for each model, dataset, scenario, kernel size and interpolation",
    )  # fmt: skip
    plan_machines.add(parser)
    parser.add_argument("--json", action="store_true", help="for scripts")
    options.add_places(parser)
    parser.set_defaults(run=_plan)


def _plan(args: argparse.Namespace) -> int:
    from tune_jobs.plan.cost import Here
    from tune_jobs.plan.inventory import take_inventory
    from tune_jobs.plan.opened import open_study
    from tune_jobs.plan.outlook import look_ahead
    from tune_jobs.storage import Storage
    from tune_jobs.study.file import load_study
    from tune_jobs.terminal.plan import show_outlook
    from tune_jobs.trial.calibrate import machine_of_trials

    plan_machines.require_machines(args)
    opened = open_study(load_study(args.study), args.data)
    slots = args.max_concurrent or _at_once_here(opened.study.resources)
    storage = Storage(args.storage)
    storage.require_bucket()
    inventory = take_inventory(storage)
    options.name_strays(inventory.strays)
    if opened.study.search:
        return _plan_search(opened, storage, inventory, slots, args)
    resources = opened.study.resources
    ahead = partial(look_ahead, opened, storage, inventory)
    outlook = ahead(Here.of_calibration(machine_of_trials(storage, resources)))
    fleets = plan_machines.fleets_of(args, resources, storage, ahead, outlook)
    if args.json:
        plan = _as_json(opened, outlook, slots, args.price)
        if fleets:
            plan["machines"] = plan_machines.as_json(fleets)
        print(json.dumps(plan, indent=1))
        return 0
    show_outlook(opened, outlook, slots, args.price, cells=args.cells)
    if fleets:
        plan_machines.show(fleets, args, resources)
    return 0


def _at_once_here(resources: "Resources") -> int:
    """How many trials this machine runs at once: as its cores allow, or one for each GPU.

    Those that share a GPU take so much longer that no more of them are done.
    """
    if resources.gpus:
        import torch

        return max(1, torch.cuda.device_count())
    return max(1, available_cores() // resources.cpus)


def _plan_search(
    opened: "OpenedStudy",
    storage: "Storage",
    inventory: "Inventory",
    slots: int,
    args: argparse.Namespace,
) -> int:
    from tune_jobs.driver.search import describe_counts
    from tune_jobs.plan.cost import Here
    from tune_jobs.search.outlook import search_outlook
    from tune_jobs.terminal.plan import time_left
    from tune_jobs.trial.calibrate import machine_of_trials

    resources = opened.study.resources
    ahead = partial(search_outlook, opened, storage, inventory)
    outlook = ahead(Here.of_calibration(machine_of_trials(storage, resources)))
    options.name_strays(outlook.strays)
    seconds = outlook.trial_seconds_left
    hours = None if seconds is None else seconds / 3600 / slots
    money = None if hours is None or args.price is None else hours * args.price
    fleets = plan_machines.fleets_of(args, resources, storage, ahead, outlook)
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
        if fleets:
            plan["machines"] = plan_machines.as_json(fleets)
        print(json.dumps(plan, indent=1))
        return 0
    print(f"search {opened.study.name}: {describe_counts(outlook.states, outlook.undrawn)}")
    if seconds is None:
        print("left: unknown, as a model has neither records nor a place in the table")
        return 0
    print(time_left(seconds, slots, args.price))
    if opened.study.search and opened.study.search.asha:
        print("this is as if asha stopped none of them early")
    if fleets:
        plan_machines.show(fleets, args, resources)
    return 0


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
    from tune_jobs.plan.cost import MEASURED

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
        "measured": cell.trial.source in MEASURED if cell.trial else None,
    }
