"""What a study would take on some machines of each kind: trials at once, hours, money. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tune_jobs.plan.machines.kinds import Machine
from tune_jobs.study.study import Resources

SPOT, ON_DEMAND = "spot", "on demand"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialHours:
    """The hours of all trials together on one CPU or GPU, and of the longest of them."""

    all: float
    longest: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """Machines of one kind, bought in one way.

    ``price`` is money an hour of one of them, a guess if ``price_is_guess``. ``hours`` and
    ``money``, which includes the head's, are None where it is not known how long trials take there.
    """

    machine: Machine
    market: str
    price: float
    price_is_guess: bool
    at_once: int  # trials, on all machines together
    hours: float | None
    money: float | None


def fleets(
    machines: Iterable[Machine],
    count: int,
    resources: Resources,
    *,
    trials: Callable[[Machine], TrialHours | None],
    head_price: float,
) -> Iterator[Fleet]:
    """``count`` machines of every kind that fits a trial, spot and on demand, the cheapest first.

    ``trials`` says how long trials take on a kind, or None. No study ends before its longest trial
    does. Trials that share a GPU are done no sooner than one after the other.
    """
    found: list[Fleet] = []
    for machine in machines:
        at_once = count * _trials_on(machine, resources)
        if not at_once:
            continue
        hours = None
        if took := trials(machine):
            abreast = min(at_once, count * machine.gpus) if machine.gpus else at_once
            hours = max(took.all / abreast, took.longest)
        for market, price in ((SPOT, machine.likely_spot), (ON_DEMAND, machine.on_demand)):
            whole = count * price + head_price
            found.append(
                Fleet(
                    machine=machine,
                    market=market,
                    price=price,
                    price_is_guess=market == SPOT and machine.spot is None,
                    at_once=at_once,
                    hours=hours,
                    money=None if hours is None else hours * whole,
                )
            )
    return iter(sorted(found, key=_order))


def _order(fleet: Fleet) -> tuple[bool, float]:
    return fleet.money is None, fleet.price if fleet.money is None else fleet.money


def _trials_on(machine: Machine, resources: Resources) -> int:
    """How many trials one machine runs at once; those with GPUs are for studies that use them."""
    if bool(machine.gpus) != bool(resources.gpus):
        return 0
    trials = machine.cpus // resources.cpus
    if resources.gpus:
        trials = min(trials, int(machine.gpus / resources.gpus + 1e-9))
    return trials
