"""Simulated time, the processes in it, and what happens to them."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from lab.simulation.faults import PLACES, Faults
from lab.simulation.process import FIRST_PID, Container, Killed, Machine, Process

BEGAN = 1_790_000_000.0  # when a world begins, in seconds since 1970
MOST_MOVES = 100_000  # of all processes together, until a history counts as endless
LONGEST_STOP = 900.0  # seconds
LONGEST_JUMP = 7200.0  # seconds, of a clock


class World:
    """Processes that move one at a time, in an order that only ``rng`` decides.

    ``now`` is in seconds since the world began. ``notes`` hold when what happened to whom,
    ``violations`` what must never happen, ``struck`` the faults so far by kind.
    """

    def __init__(self, rng: random.Random, faults: Faults) -> None:
        self.rng, self.faults, self.now = rng, faults, 0.0
        self.notes: list[tuple[float, str, str]] = []
        self.violations: list[str] = []
        self.struck: Counter[str] = Counter()
        self.current: Process | None = None
        machines = [Machine(f"machine-{n}", f"boot-{n}") for n in range(faults.machines)]
        self._containers = [
            Container(machine, f"pid:[{n}]")
            for machine in machines
            for n in range(faults.containers)
        ]
        self._machines = machines
        self._apart = Container(Machine("apart", "boot"), "pid:[0]")
        self._processes: list[Process] = []
        self._rates = {place: faults.rates(place) for place in PLACES}
        self._queue: list[tuple[float, int, Process]] = []
        self._moves = self._pushed = self._strikes = 0
        self._hub = getcurrent()

    def note(self, text: str) -> None:
        self.notes.append((self.now, self.current.name if self.current else "", text))

    def violate(self, text: str) -> None:
        self.violations.append(text)
        self.note(f"VIOLATION: {text}")

    def start(
        self,
        name: str,
        work: Callable[[], Any],
        *,
        then: Callable[[Process], None] = lambda process: None,
        after: float = 0.0,
        driver: str = "",
        apart: bool = False,
    ) -> Process:
        """Begin a process somewhere, or ``apart`` from all machines that may be lost.

        ``then`` is called, outside of the process, when it is over.
        """
        container = self._apart if apart else self.rng.choice(self._containers)
        process = Process(
            name=name,
            work=work,
            then=then,
            container=container,
            pid=FIRST_PID + len(container.processes),
            began=self.now,
            driver=driver,
        )
        process.body = greenlet(lambda: self._live(process), self._hub)
        container.processes.append(process)
        self._processes.append(process)
        self._push(process, self.now + after)
        return process

    def sleep(self, seconds: float) -> None:
        """Let others move until so much time has passed for the process that calls this."""
        process, at = self._moving, self.now + seconds
        # Whether anything else happens until then, the end of the history included.
        if (
            (self._queue and self._queue[0][0] <= at)
            or self.violations
            or self._moves >= MOST_MOVES
        ):
            self._push(process, at)
            self._hub.switch()
            return
        self._moves += 1
        self.now = at
        if process.dies_at <= at:
            process.is_killed = True
            raise Killed

    def run(self, until: Callable[[], bool]) -> bool:
        """Move processes until something is so; False if that takes for ever."""
        while self._queue and not until():
            self._moves += 1
            if self._moves > MOST_MOVES:
                return False
            at, _, process = heapq.heappop(self._queue)
            if not process.is_over:
                self.now = max(self.now, at)
                self._move(process)
        return until()

    def end(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            process.then = lambda process: None
            if not process.is_over:
                process.dies_at = self.now
                self._move(process)

    def strike(self, place: str) -> str:
        """The fault that happens here and now, if any."""
        rates = self._rates[place]
        if not rates or self.now > self.faults.until or self._strikes >= self.faults.most:
            return ""
        drawn = self.rng.random()
        for rate, kind in rates:
            if drawn < rate:
                self.struck[kind] += 1
                self._strikes += 1
                return kind
        return ""

    def suffer(self, kind: str, where: str) -> None:
        """What a fault does to the process that moves, or to its machine."""
        process = self._moving
        if kind == "killed":
            self.note(f"killed {where}")
            process.is_killed = True
            raise Killed
        if kind == "stopped":
            seconds = self.rng.uniform(60, LONGEST_STOP)
            self.note(f"stopped {where} for {seconds:.0f} s")
            self.sleep(seconds)
            self.note("wakes")
        elif kind == "machine lost":
            self.lose(process.machine)
            process.is_killed = True
            raise Killed
        elif kind == "clock":
            process.machine.ahead += self.rng.uniform(-LONGEST_JUMP, LONGEST_JUMP)
            self.note(f"{process.machine.name}'s clock is {process.machine.ahead:.0f} s ahead now")

    def lose(self, machine: Machine) -> None:
        """All that runs on a machine dies; it starts again at once, empty."""
        self.note(f"{machine.name} is lost")
        machine.boot_id += "+"
        for process in self._processes:
            if process.machine is machine:
                process.dies_at = min(process.dies_at, self.now)

    def kill(self, process: Process, after: float) -> None:
        process.dies_at = min(process.dies_at, self.now + after)

    def is_alive(self, process: Process) -> bool:
        return not process.is_over and not process.is_killed and process.dies_at > self.now

    def heal(self) -> None:
        """Set all clocks right: what the end of all faults takes."""
        for machine in self._machines:
            machine.ahead = 0.0

    @property
    def here(self) -> Process:
        """The process that moves."""
        assert self.current
        return self.current

    @property
    def wall_time(self) -> float:
        """What the clock of the machine says where the moving process is."""
        return BEGAN + self.now + (self.current.machine.ahead if self.current else 0.0)

    @property
    def _moving(self) -> Process:
        process = self.current
        assert process
        if process.is_killed:
            raise Killed
        return process

    def _push(self, process: Process, at: float) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (at, self._pushed, process))

    def _move(self, process: Process) -> None:
        self.current = process
        if process.dies_at <= self.now:
            process.is_killed = True
            if process.body:
                process.body.throw(Killed)
            else:
                process.is_over, process.ended = True, Killed()
        else:
            process.body.switch()
        self.current = None
        if process.is_over:
            process.then(process)

    def _live(self, process: Process) -> None:
        try:
            process.ended = process.work()
        except (Exception, Killed) as error:
            process.ended = error
        process.is_over = True
