"""``tune-jobs plan STUDY --machines``: kinds of machine, and what the study would take on each."""

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tune_jobs.commands import options
from tune_jobs.errors import TuneJobsError
from tune_jobs.wording import duration

if TYPE_CHECKING:
    from tune_jobs.plan.cost import Here
    from tune_jobs.plan.machines.fleets import Fleet
    from tune_jobs.plan.machines.hours import Left
    from tune_jobs.plan.machines.kinds import Machine
    from tune_jobs.storage import Storage
    from tune_jobs.study.study import Resources

COUNT = 8  # machines, where no number is given


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--machines", type=options.positive, nargs="?", const=COUNT, metavar="N",
        help=f"a table of kinds of machine: trials at once, hours and money on N of each ({COUNT})",
    )  # fmt: skip
    parser.add_argument(
        "--prices", metavar="FILE",
        help="with --machines: a YAML list of machines of your own (approximate ones of AWS)",
    )  # fmt: skip
    parser.add_argument(
        "--spot-prices", metavar="REGION", help="with --machines: ask AWS for today's in a region"
    )


def require_machines(args: argparse.Namespace) -> None:
    for name in ("prices", "spot_prices"):
        if getattr(args, name) and args.machines is None:
            raise TuneJobsError(f"--{name.replace('_', '-')} goes with --machines; it came alone.")


def fleets_of(
    args: argparse.Namespace,
    resources: "Resources",
    storage: "Storage",
    look_ahead: "Callable[[Here], Left]",
    left: "Left",
) -> "list[Fleet]":
    """What the machines asked for make of a study, none where ``--machines`` was not given.

    ``look_ahead`` says what is left of it on other machines than those that ``left`` is about.
    TuneJobsError if it fits on none of them.
    """
    if args.machines is None:
        return []
    from tune_jobs.plan.machines.fleets import fleets
    from tune_jobs.plan.machines.hours import hours_on
    from tune_jobs.plan.machines.kinds import HEAD, load_machines

    table = load_machines()
    machines = load_machines(args.prices) if args.prices else table
    if args.spot_prices:
        machines = _with_spot(machines, args.spot_prices)
    found = list(
        fleets(
            (machine for machine in machines.values() if machine.type != HEAD),
            args.machines,
            resources,
            trials=hours_on(left, partial(_with_gpu, storage, look_ahead)),
            head_price=machines.get(HEAD, table[HEAD]).on_demand,
        )
    )
    if not found:
        raise TuneJobsError(
            f"A trial of this study must fit on some machine; it takes {resources.cpus} CPUs and "
            f"{resources.gpus:g} GPU, which none of {', '.join(machines)} has for it."
        )
    return found


def _with_gpu(
    storage: "Storage", look_ahead: "Callable[[Here], Left]", gpu: str
) -> "tuple[Here, Left]":
    from tune_jobs.plan.cost import Here
    from tune_jobs.trial.calibrate import machine_with_gpu

    here = replace(Here.of_calibration(machine_with_gpu(storage, gpu)), exactly=True)
    return here, look_ahead(here)


def show(found: "list[Fleet]", args: argparse.Namespace, resources: "Resources") -> None:
    """Print the table, and which of its numbers are estimates."""
    from tune_jobs.plan.machines.kinds import HEAD
    from tune_jobs.terminal.scores import count_column
    from tune_jobs.terminal.table import Column, show_table

    columns = [
        Column(
            head="machines",
            cells=[f"{args.machines} {fleet.machine.type}" for fleet in found],
            kind="name",
        ),
        Column(head="market", cells=[fleet.market for fleet in found], kind="fact"),
        count_column("at once", (f"{fleet.at_once:,}" for fleet in found)),
        count_column(
            "an hour, each",
            (f"{'~' * fleet.price_is_guess}{fleet.price:,.3f}" for fleet in found),
        ),
        count_column(
            "time",
            ("?" if fleet.hours is None else f"~{duration(fleet.hours * 3600)}" for fleet in found),
        ),
        count_column(
            "money",
            ("?" if fleet.money is None else f"~{fleet.money:,.2f}" for fleet in found),
        ),
    ]
    show_table("machines of one kind", columns)
    for note in _notes(found, args, resources):
        print(note)
    print(f"money includes the head, one {HEAD}; storage and traffic are not in it")


def _notes(found: "list[Fleet]", args: argparse.Namespace, resources: "Resources") -> "list[str]":
    notes = []
    if not args.prices:
        notes.append("prices on demand are approximate, of us-east-1: give --prices to be sure")
    if any(fleet.price_is_guess for fleet in found):
        notes.append("~ spot prices are guessed as half of that; --spot-prices REGION asks AWS")
    unknown = {fleet.machine.gpu for fleet in found if fleet.hours is None}
    if resources.gpus:
        if names := ", ".join(sorted(unknown - {""})):
            notes.append(
                f"hours are unknown on {names}: trials that have ended on one tell them, and "
                "`tune-jobs calibrate --device cuda --storage URI` on such a machine"
            )
        if "" in unknown:
            notes.append("hours are unknown where the list does not say with gpu what GPU it is")
        if any(fleet.hours is not None for fleet in found):
            notes.append("~ hours are estimates, of trials that have a GPU to themselves")
    elif unknown:
        notes.append("hours are unknown: a model has neither records nor a place in the table")
    else:
        notes.append("kinds with GPUs are left out: the study's trials take none (resources.gpus)")
        notes.append(
            "~ hours are estimates, as if each CPU were a core like those that were timed; EC2's "
            "are hardware threads, two to a core but for c7a"
        )
    return notes


def as_json(found: "list[Fleet]") -> list[dict[str, Any]]:
    return [
        {
            **{key: value for key, value in asdict(fleet).items() if key != "machine"},
            "type": fleet.machine.type,
        }
        for fleet in found
    ]


def _with_spot(machines: "dict[str, Machine]", region: str) -> "dict[str, Machine]":
    """The machines that a region has, with its spot prices."""
    from tune_jobs.cluster.setup.account import Account
    from tune_jobs.cluster.setup.market import offers

    found = offers(Account(region), machines)
    return {
        name: replace(machine, spot=found[name].spot)
        for name, machine in machines.items()
        if name in found
    }
