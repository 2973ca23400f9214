"""Export to any target: the records that it does not have yet, as names and numbers."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from tune_jobs.errors import TuneJobsError
from tune_jobs.point import content_of
from tune_jobs.records.trial import EpochRecord, TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import list_folder, parse_record, read_each

OF_EPOCHS = (
    *("train_loss", "train_accuracy", "valid_loss", "valid_accuracy"),
    *("seconds", "train_seconds", "valid_seconds"),
)


class Target(Protocol):
    """A tool's place for runs, which takes ``at_once`` of them side by side."""

    at_once: int

    def known(self) -> set[str]:
        """The ids of the points that are there, whole."""
        ...

    def add(self, record: TrialRecord) -> None:
        """Put a record there, whole or in a way that ``known`` does not take for whole."""
        ...


@dataclass(slots=True)
class Exported:
    """How many records an export added and found; ``damaged`` names those it could not read,
    ``strays`` files beside them that are no records."""

    added: int
    there: int
    damaged: list[str]
    strays: tuple[str, ...]


def export(
    storage: Storage, target: Target, *, progress: Callable[[int, int], None] | None = None
) -> Exported:
    """Add every record of a storage that a target does not have; what is there stays."""
    known = target.known()
    listing = list_folder(storage, "records")
    new = [item.key for key, item in listing.objects if key.point_id not in known]
    exported = Exported(0, len(listing.objects) - len(new), [], listing.strays)
    found = read_each(storage, new, parse_record, exported.damaged)
    for _ in _added((record for _, record in found), target):
        exported.added += 1
        if progress:
            progress(exported.added + len(exported.damaged), len(new))
    return exported


def _added(records: Iterable[TrialRecord], target: Target) -> Iterator[None]:
    """Put records into a target, several at once; yields whenever one is there."""
    under_way: deque[Future[None]] = deque()
    with ThreadPoolExecutor(target.at_once) as pool:
        for record in records:
            under_way.append(pool.submit(target.add, record))
            if len(under_way) == target.at_once:
                yield under_way.popleft().result()
        for one in under_way:
            yield one.result()


def parameters(record: TrialRecord) -> dict[str, Any]:
    """What was chosen: the fields of point and recipe; interpolation only where it is used."""
    found = {**content_of(record.point), **content_of(record.recipe)}
    return {name: value for name, value in found.items() if value is not None}


def results(record: TrialRecord) -> dict[str, float]:
    """The numbers that a trial ends with."""
    return {
        "best_epoch": record.best_epoch,
        "best_valid_accuracy": record.best_valid_accuracy,
        "test_accuracy": record.test_accuracy,
        "test_loss": record.test_loss,
        "num_parameters": record.num_parameters,
        "wall_seconds": record.wall_seconds,
    }


def of_epochs(record: TrialRecord) -> Iterator[tuple[EpochRecord, dict[str, float]]]:
    for epoch in record.epochs:
        values = {name: getattr(epoch, name) for name in OF_EPOCHS}
        yield epoch, {name: value for name, value in values.items() if value is not None}


def by_scale(record: TrialRecord) -> Iterator[tuple[int, float]]:
    """Test accuracy at each object scale in pixels."""
    for scale in record.scales:
        yield scale.scale, scale.correct / scale.total


def run_name(record: TrialRecord) -> str:
    """A name for a person, and for a folder beside others: it has no part of a path."""
    point = record.point
    name = f"{point.model}-{point.dataset}-s{point.scenario}-seed{point.seed}-{record.point_id}"
    return name.replace("/", "_")


def within(folder: Path, name: str) -> Path:
    """A path in a folder itself; TuneJobsError for a name that leads elsewhere."""
    if name in ("", ".", "..") or {"/", "\\", "\0"} & set(name):
        raise TuneJobsError(f"A run must be named without a part of a path; got {name!r:.100}.")
    return folder / name


def seconds_of(time: str) -> float:
    """Seconds since 1970 of a time as records write it."""
    return datetime.fromisoformat(time).timestamp()
