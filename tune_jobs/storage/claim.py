"""Who is running a point right now, so that two drivers on one storage share the work."""

import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tune_jobs import clock
from tune_jobs.records.keys import claim_key
from tune_jobs.storage.storage import Storage

HEARTBEAT_SECONDS = 30.0
STALE_SECONDS = 180.0
DEATHS_ALLOWED = 5  # in a row, without a checkpoint in between


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A running trial's mark. Times are seconds since 1970.

    ``driver`` names the command that started the trial. ``deaths`` counts the processes of that
    driver that vanished while they held this claim with training at ``position`` (epoch and batch
    of the checkpoint they began from). A checkpoint further on sets it back, and so does another
    driver: processes that die with theirs say nothing of the trial.
    """

    driver: str
    host: str
    boot_id: str
    pid: int
    pid_started: str  # the kernel's start time of that process, since process ids are used again
    heartbeat: float
    position: tuple[int, int]
    deaths: int

    @property
    def is_fresh(self) -> bool:
        """Whether somebody is at it: a process alive on this machine, or a recent heartbeat.

        Where the system does not tell (no /proc), the heartbeat alone decides.
        """
        if self.boot_id and self.boot_id == _boot_id() and self.host == platform.node():
            return _process_started(self.pid) == self.pid_started
        return clock.now() - self.heartbeat < STALE_SECONDS


def read_claim(storage: Storage, point_id: str) -> Claim | None:
    """The claim on a point; None if there is none or it cannot be read."""
    try:
        content = json.loads(storage.read(claim_key(point_id)))
        return Claim(**(content | {"position": tuple(content["position"])}))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def new_claim(driver: str, position: tuple[int, int], previous: Claim | None) -> Claim:
    """This process's claim, counting the death of whoever left ``previous`` behind."""
    pid = os.getpid()
    deaths = 0
    if previous is not None and previous.driver == driver:
        deaths = 1 + (previous.deaths if previous.position == position else 0)
    return Claim(
        driver=driver,
        host=platform.node(),
        boot_id=_boot_id(),
        pid=pid,
        pid_started=_process_started(pid),
        heartbeat=clock.now(),
        position=position,
        deaths=deaths,
    )


def write_claim(storage: Storage, point_id: str, claim: Claim) -> Claim:
    """Store a claim with its heartbeat set to now; returns it."""
    claim = replace(claim, heartbeat=clock.now())
    storage.write(claim_key(point_id), json.dumps(asdict(claim)).encode())
    return claim


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _process_started(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty if it is gone or a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] == "Z" else after_name[19]
