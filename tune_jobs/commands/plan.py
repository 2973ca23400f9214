"""``tune-jobs plan``: what a study still has to do."""

import argparse
from collections import Counter

from tune_jobs.commands import options


def add(commands) -> None:
    parser = options.declare(
        commands, "plan", "show what a study still has to do; starts nothing", "tune-jobs plan demo"
    )
    parser.add_argument("study", metavar="STUDY", help="a shipped study's name, or a YAML file")
    options.add_places(parser)
    parser.set_defaults(run=_plan)


def _plan(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from tune_jobs.plan import State, make_plan, survey
    from tune_jobs.storage import Storage
    from tune_jobs.study import load_study

    plan = make_plan(load_study(args.study), args.data)
    states = survey(plan.specs, Storage(args.storage))
    cells: dict[tuple[str, str, int, float], Counter[State]] = {}
    for spec in plan.specs:
        point = spec.point
        cell = (point.model, point.dataset, point.scenario, point.lr)
        cells.setdefault(cell, Counter())[states[spec.point_id]] += 1
    table = Table("model", "dataset", "scenario", "lr", *State, title=f"study {plan.study.name}")
    for column in table.columns[2:]:
        column.justify = "right"
    for (model, dataset, scenario, lr), counts in cells.items():
        numbers = (str(counts[state]) for state in State)
        table.add_row(model, dataset, str(scenario), f"{lr:g}", *numbers)
    table.add_section()
    totals = Counter(states.values())
    table.add_row("all", "", "", "", *(str(totals[state]) for state in State))
    Console().print(table)
    return 0
