"""Run a study while its processes, its driver and its storage are killed at random moments."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil
import yaml

from lab.bars import write_bars
from lab.faulty_proxy import FaultyProxy, at_random
from lab.hold import Hold
from lab.processes import WAIT_SECONDS, left_of, trials_of
from lab.records import numbers
from lab.s3_server import S3Server
from tune_jobs.point import Recipe
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

REQUESTS_FAILING = 0.05
CHECKPOINT_SECONDS = 2.0
OUTAGE_SECONDS = 3.0  # at most, until the server is started again
END_SECONDS = 900.0  # for what is left to do when the faults are over
SLOTS = 2
AXES = {
    "model": "held",
    "scenario": 2,
    "kernel_size": 7,
    "interpolation": None,
    "lr": 0.003,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DrillResult:
    """What was done to a study and what it did to the results.

    ``lost`` points have no record, ``doubled`` ones more than one result, ``different`` ones
    another number than the undisturbed run.
    """

    faults: Counter[str]
    requests: int
    requests_failed: int
    trials: int
    resumed: int
    lost: int
    doubled: int
    different: int

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.different)


class Driver:
    """``tune-jobs run`` in a process of its own, started again as often as it takes."""

    def __init__(self, study: Path, uri: str, log: Path, variables: Mapping[str, str]) -> None:
        self._study, self._uri, self._log = study, uri, log
        self._environment = os.environ | variables
        self._lives = 5  # drivers that may end badly by themselves
        self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ended(self) -> bool:
        """Whether the study is done; a driver that lost its storage is started again."""
        code = self._process.poll()
        if code is not None and code != 0:
            self._lives -= 1
            if not self._lives:
                raise RuntimeError(f"A study must end well; it does not:\n{self.last_output()}")
            self._process = self._start()
        return code == 0

    def workers(self) -> list[psutil.Process]:
        """The processes that train."""
        return trials_of(self._process)

    def kill(self) -> None:
        """End the driver at once, and wait until nothing trains any more."""
        workers = self.workers()
        self._process.kill()
        self._process.wait()
        if left := left_of(workers):
            raise RuntimeError(f"Trials must end when their driver is dead; these go on: {left}.")

    def restart(self) -> None:
        self.kill()
        self._process = self._start()

    def finish(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        while not self.ended():
            if time.monotonic() > deadline:
                raise RuntimeError(f"The study must end; it did not:\n{self.last_output()}")
            time.sleep(0.2)

    def last_output(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tune_jobs", "run", str(self._study)]
        options = ["--storage", self._uri, "--max-concurrent", str(SLOTS)]
        options += ["--checkpoint-seconds", str(CHECKPOINT_SECONDS)]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*command, *options], env=self._environment, stdout=log, stderr=log
            )


def drill(
    folder: Path,
    *,
    faults: Sequence[str],
    seeds: int,
    epochs: int,
    batch_seconds: float,
    longest_pause_seconds: float,
    rng_seed: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> DrillResult:
    """Train ``seeds`` small networks in peace, then again through ``faults``, and compare.

    ``faults`` are ``worker``, ``driver`` and ``server``, killed in this order with random pauses
    in between, while REQUESTS_FAILING of the requests to the server fail. A batch takes at least
    ``batch_seconds`` until the faults are over, so that there are trials to be killed. All files go
    into ``folder``; the environment must have ``s3_server.CREDENTIALS``.
    """
    study, hold = _write_study(folder, epochs, seeds), Hold(folder / "hold")
    say(f"training {seeds} networks undisturbed")
    undisturbed = Storage(folder / "undisturbed")
    with Driver(study, undisturbed.uri, folder / "undisturbed.log", hold.variables) as driver:
        driver.finish()
    expected = _records(undisturbed)
    rng, done = random.Random(rng_seed), Counter[str]()
    hold.start(batch_seconds=batch_seconds)
    with (
        S3Server(folder / "server") as server,
        FaultyProxy(server.endpoint, at_random(REQUESTS_FAILING, rng_seed)) as line,
    ):
        faulty, sound = (
            f"s3://{server.bucket}/drill?endpoint_override={endpoint}&scheme=http"
            for endpoint in (line.endpoint, server.endpoint)
        )
        storage = Storage(sound)
        with Driver(study, faulty, folder / "driver.log", hold.variables) as driver:
            for kind in faults:
                time.sleep(rng.uniform(1, longest_pause_seconds))
                if not _strike(kind, driver, server, storage, rng):
                    break
                done[kind] += 1
                say(f"fault {done.total()} of {len(faults)}: {kind}")
            hold.release()
            driver.finish()
        return _compare(expected, storage, done, len(line.requests), len(line.faults))


def _strike(
    kind: str, driver: Driver, server: S3Server, storage: Storage, rng: random.Random
) -> bool:
    """Make one fault happen; False if the study is done before it can.

    A driver is killed when there are checkpoints to go on from, a worker at any time.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not (workers := driver.workers()) or (
        kind == "driver" and not any(storage.list("checkpoints"))
    ):
        if driver.ended():
            return False
        if time.monotonic() > deadline:
            raise RuntimeError(f"A driver must start trials; it does not:\n{driver.last_output()}")
        time.sleep(0.05)
    if kind == "worker":
        rng.choice(workers).kill()
    elif kind == "driver":
        driver.restart()
    else:
        server.stop()
        time.sleep(rng.uniform(0, OUTAGE_SECONDS))
        server.start()
    return True


def _write_study(folder: Path, epochs: int, seeds: int) -> Path:
    Hold.bring_model(folder)
    dataset = write_bars(folder / "bars.npz")
    axes = AXES | {"dataset": str(dataset), "seed": {"from": 1, "to": seeds}}
    recipe = asdict(Recipe(max_epochs=epochs, patience=epochs, batch_size=4))
    content = {"name": "drill", "imports": ["held"], "axes": axes, "recipe": recipe}
    path = folder / "drill.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def _compare(
    expected: dict[str, TrialRecord], storage: Storage, done: Counter[str], *counts: int
) -> DrillResult:
    found = _records(storage)
    weights = Counter(item.key[: -len("-0123456789ab.pt")] for item in storage.list("weights"))
    surplus = found.keys() - expected.keys()
    return DrillResult(
        faults=done,
        requests=counts[0],
        requests_failed=counts[1],
        trials=len(expected),
        resumed=sum(bool(record.resumptions) for record in found.values()),
        lost=len(expected.keys() - found.keys()),
        doubled=len(surplus) + sum(count > 1 for count in weights.values()),
        different=sum(
            numbers(found[point_id]) != numbers(record)
            for point_id, record in expected.items()
            if point_id in found
        ),
    )


def _records(storage: Storage) -> dict[str, TrialRecord]:
    return {
        (record := TrialRecord.from_json(storage.read(item.key))).point_id: record
        for item in storage.list("records")
    }
