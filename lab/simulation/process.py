"""Machines, the containers on them, and the processes in those."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

FIRST_PID = 100  # in every container, so that many have processes of one id


class Killed(BaseException):
    """Raised in a process that dies, and again at whatever it still tries to do."""


@dataclass(eq=False, slots=True)
class Machine:
    """A computer with a clock of its own, ``ahead`` of the right time by so many seconds."""

    name: str
    boot_id: str
    ahead: float = 0.0


@dataclass(eq=False, slots=True)
class Container:
    """Processes that see each other, and no others; ``namespace`` names their table of ids."""

    machine: Machine
    namespace: str
    processes: list["Process"] = field(default_factory=list)

    def find(self, pid: int) -> "Process | None":
        """The process of that id; ids are not used again."""
        index = pid - FIRST_PID
        return self.processes[index] if 0 <= index < len(self.processes) else None


@dataclass(eq=False, slots=True, kw_only=True)
class Process:
    """Something that runs ``work`` until it returns, raises or is killed; then ``then`` is called.

    It is killed the next time it moves from ``dies_at`` on. ``ended`` is what it returned or
    raised. ``driver`` names the driver that it is or works for, if any.
    """

    name: str
    work: Callable[[], Any]
    then: Callable[["Process"], None]
    container: Container
    pid: int
    began: float
    driver: str = ""
    dies_at: float = inf
    is_killed: bool = False
    is_over: bool = False
    ended: Any = None
    body: Any = None  # its greenlet

    @property
    def machine(self) -> Machine:
        return self.container.machine

    @property
    def started(self) -> str:
        """When it began, as Linux says it: in hundredths of a second."""
        return str(int(self.began * 100))
