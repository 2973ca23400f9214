"""Run a study while its processes, its driver and its storage are killed at random moments."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
import yaml

import stir
from lab.bars import write_bars
from lab.faulty_proxy import FaultyProxy, at_random
from lab.records import numbers
from lab.s3_server import S3Server
from siconvnet import MODELS
from stir import STIRDataset
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

REQUESTS_FAILING = 0.05
CHECKPOINT_SECONDS = 2.0
OUTAGE_SECONDS = 3.0  # at most, until the server is started again
WAIT_SECONDS = 120.0  # for a trial to start or a process to go
END_SECONDS = 900.0  # for what is left to do when the faults are over
SLOTS = 2
POINT = GridPoint(
    model="standard",
    dataset="bars",
    scenario=2,
    kernel_size=7,
    interpolation=None,
    lr=0.003,
    seed=1,
)


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

    def __init__(self, study: Path, uri: str, log: Path) -> None:
        self._study, self._uri, self._log = study, uri, log
        self._lives = 5  # drivers that may end badly by themselves
        self._process = self._start()

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
        try:
            children = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if "ImplicitFunc" in _command(child)]

    def kill(self) -> None:
        """End the driver at once, and wait until nothing trains any more."""
        workers = self.workers()
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(workers, timeout=WAIT_SECONDS)
        left = [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]
        if left:
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
            return subprocess.Popen([*command, *options], stdout=log, stderr=log)


def drill(
    folder: Path,
    *,
    faults: Sequence[str],
    seeds: int,
    epochs: int,
    longest_pause_seconds: float,
    rng_seed: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> DrillResult:
    """Train ``seeds`` small networks in peace, then again through ``faults``, and compare.

    ``faults`` are ``worker``, ``driver`` and ``server``, killed in this order with random pauses
    in between, while REQUESTS_FAILING of the requests to the server fail. All files go into
    ``folder``; the environment must have ``s3_server.CREDENTIALS``.
    """
    dataset = write_bars(folder / "bars.npz")
    recipe = Recipe(max_epochs=epochs, patience=epochs, batch_size=4)
    study = _write_study(folder, dataset, recipe, seeds)
    say(f"training {seeds} networks undisturbed")
    expected = _undisturbed(stir.load(dataset), recipe, seeds, Storage(folder / "undisturbed"))
    rng, done = random.Random(rng_seed), Counter[str]()
    with (
        S3Server(folder / "server") as server,
        FaultyProxy(server.endpoint, at_random(REQUESTS_FAILING, rng_seed)) as line,
    ):
        uri = f"s3://{server.bucket}/drill?endpoint_override={line.endpoint}&scheme=http"
        driver = Driver(study, uri, folder / "driver.log")
        try:
            for kind in faults:
                time.sleep(rng.uniform(1, longest_pause_seconds))
                if not _strike(kind, driver, server, rng):
                    break
                done[kind] += 1
                say(f"fault {done.total()} of {len(faults)}: {kind}")
            driver.finish()
        finally:
            driver.kill()
        requests, failed = len(line.requests), len(line.faults)
        line.choose = lambda method, path: None
        return _compare(expected, Storage(uri), done, requests, failed)


def _strike(kind: str, driver: Driver, server: S3Server, rng: random.Random) -> bool:
    """Make one fault happen; False if the study is done before it can."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (workers := driver.workers()):
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


def _write_study(folder: Path, dataset: Path, recipe: Recipe, seeds: int) -> Path:
    axes = asdict(POINT) | {"dataset": str(dataset), "seed": {"from": 1, "to": seeds}}
    path = folder / "drill.yaml"
    path.write_text(yaml.safe_dump({"name": "drill", "axes": axes, "recipe": asdict(recipe)}))
    return path


def _undisturbed(
    dataset: STIRDataset, recipe: Recipe, seeds: int, storage: Storage
) -> dict[str, TrialRecord]:
    for seed in range(1, seeds + 1):
        spec = TrialSpec(
            point=replace(POINT, seed=seed),
            recipe=recipe,
            model_version=MODELS[POINT.model].version,
            dataset_fingerprint=dataset.fingerprint,
        )
        run_trial(spec, dataset, storage, Surroundings(driver="undisturbed", threads=1))
    return _records(storage)


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


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
