"""What the service itself costs: seconds a trial, driver memory, time of plan and of status.

example: python -m benchmarks.service --trials 100 2000 --points 5500

Trials of one epoch over 32 images of two classes stand in for trials that do nothing; the seconds
their records say they took are subtracted. Needs the test extra (SeaweedFS).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import psutil

import stir
from lab.bars import write_bars
from lab.records import put_record
from lab.s3_server import CREDENTIALS, S3Server
from siconvnet import MODELS
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

SLOTS = 2


class Study:
    """``count`` points of a model that trains in milliseconds."""

    def __init__(self, folder: Path, count: int) -> None:
        self.dataset = stir.load(write_bars(folder / "bars.npz", classes=2))
        self.count = count
        self.path = folder / f"points-{count}.yaml"
        self.path.write_text(
            f"name: points-{count}\n"
            f"axes: {{model: standard, dataset: {self.dataset.path}, scenario: 2, kernel_size: 3,\n"
            f"       interpolation: null, lr: 0.001, seed: {{from: 1, to: {count}}}}}\n"
            "recipe: {max_epochs: 1}\n"
        )

    def spec(self, seed: int) -> TrialSpec:
        point = GridPoint(
            model="standard",
            dataset=self.dataset.name,
            scenario=2,
            kernel_size=3,
            interpolation=None,
            lr=0.001,
            seed=seed,
        )
        return TrialSpec(
            point=point,
            recipe=Recipe(max_epochs=1),
            model_version=MODELS["standard"].version,
            dataset_fingerprint=self.dataset.fingerprint,
        )

    def command(self, name: str, uri: str) -> list[str]:
        return [sys.executable, "-m", "tune_jobs", name, str(self.path), "--storage", uri]


def run(study: Study, uri: str) -> float:
    """Run a study to its end; returns the driver's peak memory in MB."""
    command = [*study.command("run", uri), "--max-concurrent", str(SLOTS)]
    log = study.path.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    driver, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, driver.memory_info().rss)
        time.sleep(0.2)
    if process.returncode:
        raise RuntimeError(f"{command} must end well; it said {log.read_text()[-2000:]}")
    return peak / 1e6


def overhead_seconds(storage: Storage) -> float:
    """Seconds a trial and slot beyond the trials' own, once each slot has finished one."""
    records = [TrialRecord.from_json(storage.read(item.key)) for item in storage.list("records")]
    records.sort(key=lambda record: record.finished_at)
    first, *rest = records[SLOTS - 1 :]
    began, ended = (datetime.fromisoformat(r.finished_at) for r in (first, rest[-1]))
    own = sum(record.wall_seconds for record in rest) / len(rest)
    return (ended - began).total_seconds() * SLOTS / len(rest) - own


def time_command(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 2000], help="(100 2000)")
    parser.add_argument("--points", type=int, default=5500, help="of the large study (5500)")
    parser.add_argument("--local", action="store_true", help="leave SeaweedFS out")
    args = parser.parse_args()
    os.environ.update(CREDENTIALS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="service-")))
        roots = {"folder": str(folder / "runs")}
        if not args.local:
            server = stack.enter_context(S3Server(folder / "server"))
            roots["SeaweedFS"] = f"s3://{server.bucket}/X?endpoint_override={server.endpoint}"
            roots["SeaweedFS"] += "&scheme=http"
        for place, root in roots.items():
            for count in args.trials:
                uri = root.replace("/X?", f"/{count}?") if "?" in root else f"{root}-{count}"
                peak = run(Study(folder, count), uri)
                seconds = overhead_seconds(Storage(uri))
                print(
                    f"{place:10} {count:5} trials: {seconds:.3f} s overhead a trial, "
                    f"driver {peak:.0f} MB",
                    flush=True,
                )
        if args.points:
            large(folder, args.points)


def large(folder: Path, points: int) -> None:
    """A study whose records are all there but for the last hundred, which are run."""
    study, storage = Study(folder, points), Storage(folder / "large")
    for seed in range(1, points - 99):
        put_record(storage, study.spec(seed), valid_accuracy=0.9, epochs=30)
    peak = run(study, storage.uri)
    print(f"folder     {points:5} points: driver {peak:.0f} MB", flush=True)
    seconds = time_command(study.command("plan", storage.uri))
    print(f"folder     {points:5} points: plan in {seconds:.1f} s", flush=True)
    status = [sys.executable, "-m", "tune_jobs", "status", "--storage", storage.uri]
    print(f"folder     {points:5} points: status in {time_command(status):.1f} s", flush=True)


if __name__ == "__main__":
    main()
