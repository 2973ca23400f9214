"""Claims: which process runs a point right now, so that drivers on one storage share the work."""

import json
import logging
import os
import platform
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import with_config

from tune_jobs import clock
from tune_jobs.records.keys import claim_key, point_id_of
from tune_jobs.records.schema import STRICT, from_bare_json
from tune_jobs.storage.reader import look_up, read_each
from tune_jobs.storage.storage import Storage

HEARTBEAT_SECONDS = 30.0
STALE_SECONDS = 180.0
CLOCK_SKEW_SECONDS = 180.0  # by which the clocks of machines that share a storage may differ
DEATHS_ALLOWED = 5  # in a row, without a checkpoint in between


logger = logging.getLogger("tune_jobs")


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Marks a point as being run by a process. Times are seconds since 1970.

    ``token`` is this very claim's, drawn at random: a process that finds another one in place of
    its own has been overtaken. ``pid`` and ``pid_started`` mean a process only within
    ``pid_namespace``, since containers on one machine have one boot_id, and may have one host name.

    ``driver`` names the command that started the trial. ``deaths`` counts the processes of that
    driver that vanished while they held this claim with training at ``position`` (epoch and batch
    of the checkpoint they began from). A checkpoint further on sets it back, and so does another
    driver: processes that die with theirs are no sign of a fault of the trial.
    """

    driver: str
    host: str
    boot_id: str
    pid: int
    pid_started: str  # the kernel's start time of that process, since process ids are used again
    heartbeat: float
    position: tuple[int, int]
    deaths: int
    token: str = ""  # none in claims of earlier versions, like the next one
    pid_namespace: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether a process works on the point: a recent heartbeat of one not known as dead.

        A heartbeat in the future, of a clock that is ahead, is believed for CLOCK_SKEW_SECONDS.
        """
        age = clock.now() - self.heartbeat
        if not -CLOCK_SKEW_SECONDS < age < STALE_SECONDS:
            if age < 0:
                logger.warning(
                    "The clock of %s is %.0f s ahead of this machine's; clocks may differ by %.0f "
                    "s. Its claim is not believed.", self.host, -age, CLOCK_SKEW_SECONDS,
                )  # fmt: skip
            return False
        return not self._is_near or _process_started(self.pid) == self.pid_started

    @property
    def _is_near(self) -> bool:
        """Whether the process would be in the process table that this one sees."""
        here = (_boot_id(), platform.node(), _pid_namespace())
        return all(here) and here == (self.boot_id, self.host, self.pid_namespace)


def read_claim(storage: Storage, point_id: str) -> Claim | None:
    """The claim on a point; None if there is none or it cannot be read."""
    found = look_up(storage, claim_key(point_id), _parse)
    return found if isinstance(found, Claim) else None


def read_claims(storage: Storage, point_ids: Iterable[str]) -> dict[str, Claim]:
    """The claims on some points, by point_id, of those that have one that can be read."""
    found = read_each(storage, map(claim_key, point_ids), _parse, [])
    return {point_id: claim for key, claim in found if (point_id := point_id_of(key))}


def new_claim(driver: str, position: tuple[int, int], previous: Claim | None) -> Claim:
    """This process's claim, counting the death of the one that left ``previous``."""
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
        token=secrets.token_hex(8),
        pid_namespace=_pid_namespace(),
    )


def write_claim(storage: Storage, point_id: str, claim: Claim) -> Claim:
    """Store a claim with its heartbeat set to now; returns it."""
    claim = replace(claim, heartbeat=clock.now())
    storage.write(claim_key(point_id), json.dumps(asdict(claim)).encode())
    return claim


def release_claim(storage: Storage, point_id: str, claim: Claim | None) -> None:
    """Delete a claim; one that another process has put in its place since stays."""
    holder = read_claim(storage, point_id)
    if holder and claim and holder.token == claim.token:
        storage.delete(claim_key(point_id))


def release_claim_of(storage: Storage, point_id: str, driver: str) -> None:
    """Delete the claim on a point if a trial of this driver holds it."""
    holder = read_claim(storage, point_id)
    if holder and holder.driver == driver:
        storage.delete(claim_key(point_id))


def _parse(key: str, content: bytes) -> Claim:
    return from_bare_json(Claim, content)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    """The namespace that process ids belong to; empty if it, or its process table, is not seen.

    A container that was started with its host's /proc sees the processes of others under its ids.
    """
    try:
        if Path("/proc/self").readlink() != Path(str(os.getpid())):
            return ""
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _process_started(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty if it is gone or a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] == "Z" else after_name[19]
