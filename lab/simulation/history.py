"""One history of the service, from its seed."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lab.simulation.effects import Stage, simulated
from lab.simulation.faults import NO_FAULTS, Faults, draw_faults
from lab.simulation.invariants import Numbers, Watch, numbers
from lab.simulation.operator import operate
from lab.simulation.service import Service, opened_study, ray_played
from lab.simulation.store import Store
from lab.simulation.world import World

LINES = 20
ARCHIVES = 16
_expected: dict[bool, Mapping[str, Numbers]] = {}  # by whether there are archives


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What happened for a seed: when, to whom, what; and what must never happen but did."""

    seed: int
    faults: Faults
    struck: Counter[str]
    notes: tuple[tuple[float, str, str], ...]
    violations: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{at:8.1f} s  {who:32} {what}" for at, who, what in self.notes]
        surplus = len(lines) + 1 - LINES
        if surplus > 0:
            lines = [f"({surplus} earlier lines)", *lines[surplus:]]
        return "\n".join([f"seed {self.seed}: {'; '.join(self.violations) or 'sound'}", *lines])


class Theatre:
    """Plays histories one after the other; made by ``theatre``."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._opened = opened_study()
        for archives in {False, True} - _expected.keys():
            _expected[archives] = self._undisturbed(archives)

    def play(self, seed: int, *, most: int | None = None, archives: bool | None = None) -> History:
        """The history of a seed; with ``most``, only so many of its faults.

        With ``archives``, checkpoints and weights are what ``torch.save`` makes; every ARCHIVES-th
        history has that unless it is said.
        """
        rng = random.Random(seed)
        self._stage.archives = seed % ARCHIVES == 0 if archives is None else archives
        faults = draw_faults(rng)
        if most is not None:
            faults = replace(faults, most=most)
        watch = Watch(_expected[self._stage.archives])
        world, service = self._set(rng, faults, watch)
        operator = world.start("operator", lambda: operate(service), apart=True)
        if not world.run(lambda: operator.is_over or bool(world.violations)):
            world.violate("the end is not reached")
        world.end()
        if isinstance(operator.ended, Exception):
            raise operator.ended
        if not world.violations:
            watch.at_end()
        return History(
            seed=seed,
            faults=faults,
            struck=world.struck,
            notes=tuple(world.notes),
            violations=tuple(world.violations),
        )

    def shrink(self, history: History, *, archives: bool | None = None) -> History:
        """The history of the same seed with the fewest faults that still violates something."""
        for most in range(history.struck.total()):
            shorter = self.play(history.seed, most=most, archives=archives)
            if shorter.violations:
                return shorter
        return history

    def _set(self, rng: random.Random, faults: Faults, watch: Watch) -> tuple[World, Service]:
        world = self._stage.world = World(rng, faults)
        watch.store = self._stage.files = Store(world, watch.changed)
        watch.service = Service(world, self._opened, watch.trains)
        return world, watch.service

    def _undisturbed(self, archives: bool) -> Mapping[str, Numbers]:
        """What every point gives when nothing goes wrong, by its id."""
        self._stage.archives = archives
        watch = Watch({})
        world, service = self._set(random.Random(0), NO_FAULTS, watch)
        driver = service.start_driver()
        world.run(lambda: driver.is_over)
        world.end()
        return {
            key.removeprefix("records/").removesuffix(".json"): numbers(watch.store[key])
            for key in watch.store.keys("records")
        }


@contextmanager
def theatre() -> Iterator[Theatre]:
    """Play histories while the project's modules see simulated worlds."""
    stage = Stage()
    with simulated(stage), ray_played():
        yield Theatre(stage)
