"""What may go wrong in a history, and how often."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

# How often each fault happens where it can, if it is one of those that a history has at all.
REQUEST = {"killed": 0.01, "stopped": 0.005}
BEFORE = REQUEST | {"refused": 0.03, "slow": 0.01}  # 503; an answer after up to 100 seconds
AFTER = REQUEST | {"cut": 0.02}  # it is done, the answer is lost
CHANGE = AFTER | {"twice": 0.02, "lagging": 0.02}  # done again later; done later, given up by then
READ = AFTER | {"short": 0.02, "padded": 0.05, "flipped": 0.1, "foreign": 0.05, "stale": 0.03}
LOOK = AFTER | {"stale": 0.03}
LIST = AFTER | {"stale": 0.03, "blank": 0.03}
BATCH = {
    "killed": 0.02,
    "stopped": 0.01,
    "isolated": 0.01,  # its driver takes it for dead
    "preempted": 0.01,
    "machine lost": 0.004,
    "clock": 0.01,
}
POLL = {"killed": 0.01, "stopped": 0.01, "interrupted": 0.01, "clock": 0.005}
PLACES: Mapping[str, Mapping[str, float]] = {
    "before": BEFORE,
    "after write": CHANGE,
    "after delete": CHANGE,
    "after read": READ,
    "after look": LOOK,
    "after list": LIST,
    "batch": BATCH,
    "poll": POLL,
}
KINDS = tuple(dict.fromkeys(kind for place in PLACES.values() for kind in place))
# Faults that leave clocks and answers as they are: claims then keep two drivers apart.
CALM = ("killed", "refused", "cut", "preempted", "machine lost", "interrupted")
MOST = 20  # faults in a history
LONGEST = 1000.0  # seconds, until faults end


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one history: their kinds, how many at most, and until when.

    ``weight`` multiplies how often they happen. Machines have ``containers`` each, which have one
    name and cannot see each other's processes.
    """

    kinds: frozenset[str]
    most: int
    until: float
    weight: float
    machines: int
    containers: int

    @property
    def are_calm(self) -> bool:
        return self.kinds <= set(CALM)

    def rates(self, place: str) -> list[tuple[float, str]]:
        """The kinds that may happen at a place, each with the sum of rates up to its own."""
        total, rates = 0.0, []
        for kind, rate in PLACES[place].items():
            if kind in self.kinds:
                total += self.weight * rate
                rates.append((total, kind))
        return rates


NO_FAULTS = Faults(frozenset(), most=0, until=0.0, weight=0.0, machines=1, containers=1)


def draw_faults(rng: random.Random) -> Faults:
    """Some kinds of faults, in every history a different choice; in three of ten only calm ones."""
    known = CALM if rng.random() < 0.3 else KINDS
    return Faults(
        frozenset(kind for kind in known if rng.random() < 0.4),
        most=rng.randint(1, MOST),
        until=rng.uniform(100, LONGEST),
        weight=rng.choice((0.5, 1.0, 3.0, 6.0)),
        machines=rng.randint(1, 3),
        containers=rng.randint(1, 2),
    )
