"""What machines have cost a study: which machines, for how long, at what price."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from pydantic import with_config

from tune_jobs.records.schema import STRICT, StudyName, from_json, to_json

RENTALS_SCHEMA = "stir-rentals/1"


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Rental:
    """A machine that was on, idle or not, from ``since`` to ``until``, seconds since 1970.

    ``price`` is money an hour; ``machine`` distinguishes it from all others.
    """

    machine: str
    kind: str
    price: float
    since: float
    until: float

    @property
    def cost(self) -> float:
        """Money."""
        return self.price * max(0.0, self.until - self.since) / 3600


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Rentals:
    """The machines that one driver of a study has seen."""

    study: StudyName
    rentals: tuple[Rental, ...]

    def to_json(self) -> bytes:
        return to_json(self, RENTALS_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss."""
        return from_json(cls, data, RENTALS_SCHEMA)


def merged(rentals: Iterable[Rental]) -> dict[str, Rental]:
    """One rental a machine, from when it was seen first to when it was seen last.

    >>> early = Rental(machine="a", kind="spot", price=1.0, since=0.0, until=3600.0)
    >>> late = Rental(machine="a", kind="spot", price=1.0, since=1800.0, until=7200.0)
    >>> merged([early, late])["a"].cost
    2.0
    """
    machines: dict[str, Rental] = {}
    for rental in rentals:
        known = machines.get(rental.machine)
        if known:
            rental = replace(
                rental if rental.until >= known.until else known,
                since=min(known.since, rental.since),
                until=max(known.until, rental.until),
            )
        machines[rental.machine] = rental
    return machines


@dataclass(frozen=True, kw_only=True, slots=True)
class Expense:
    """What the machines of one kind and price have cost together; ``hours`` of all of them."""

    kind: str
    price: float
    machines: int
    hours: float
    cost: float


def expenses(rentals: Iterable[Rental]) -> tuple[Expense, ...]:
    """Machines that differ from each other, put together by kind and price; the dearest first."""
    alike: dict[tuple[str, float], list[Rental]] = {}
    for rental in rentals:
        alike.setdefault((rental.kind, rental.price), []).append(rental)
    found = (
        Expense(
            kind=kind,
            price=price,
            machines=len(group),
            hours=sum(max(0.0, rental.until - rental.since) for rental in group) / 3600,
            cost=cost_of(group),
        )
        for (kind, price), group in alike.items()
    )
    return tuple(sorted(found, key=lambda one: (-one.cost, one.kind, one.price)))


def cost_of(rentals: Iterable[Rental]) -> float:
    """Money that some machines have cost together."""
    return sum(rental.cost for rental in merged(rentals).values())
