"""Evaluate the finished points of a study: here if they are few, on Ray if they are many."""

import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from stir.cores import available_cores
from stir.terminal import Progress, silent
from tune_jobs.errors import TuneJobsError
from tune_jobs.records.evaluation import ALWAYS, Wanted
from tune_jobs.records.keys import study_folder
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import list_folder, parse_study, read_each, read_samples

FEW = 4  # points; starting Ray takes as long as evaluating some
QUEUED = 200  # points that a cluster is asked for at once, so that it knows how far to grow
LOOK_SECONDS = 1.0  # between two reports of one point, and two looks at the reports of all


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluable:
    """Points by what there is of them."""

    todo: tuple[str, ...]
    done: tuple[str, ...]
    unfinished: tuple[str, ...]  # without a record
    strays: tuple[str, ...]  # files in the storage that are no objects of it


def evaluable(study: str | None, storage: Storage, wanted: Wanted = ALWAYS) -> Evaluable:
    """Sort the reported points that a study's runs have written down; reads names only.

    Of a search they are the samples that trained to their end; without a study, all points that
    have a record. Raises TuneJobsError for a study that was never run with this storage.
    """
    listing = list_folder(storage, "records")
    records = {key.point_id for key, _ in listing.objects if key.point_id}
    strays: tuple[str, ...] = ()
    points = sorted(records)
    if study is not None:
        points, strays = _points(study, storage, records)
    measured = [list_folder(storage, folder) for folder in wanted.folders]
    stored = {item.key for listed in measured for _, item in listed.objects}
    finished = [point_id for point_id in points if point_id in records]
    done = {point_id for point_id in finished if stored.issuperset(wanted.keys(point_id))}
    return Evaluable(
        todo=tuple(point_id for point_id in finished if point_id not in done),
        done=tuple(point_id for point_id in finished if point_id in done),
        unfinished=tuple(point_id for point_id in points if point_id not in records),
        strays=(*strays, *(name for one in (listing, *measured) for name in one.strays)),
    )


def _points(
    study: str, storage: Storage, records: Container[str]
) -> tuple[list[str], tuple[str, ...]]:
    """The points that a study reports, and stray files beside its phases."""
    listing = list_folder(storage, study_folder(study))
    keys = (item.key for _, item in listing.objects)
    phases = [phase for _, phase in read_each(storage, keys, parse_study)]
    samples = read_samples(storage, study)
    if not phases and samples is None:
        raise TuneJobsError(
            f"A study must have been run before it is evaluated; {storage.uri} has neither "
            f"studies/{study} nor searches/{study}. `tune-jobs run {study}` writes that."
        )
    reported = (point for phase in phases for point in phase.points if point.reported)
    finished = (sample for sample in samples or () if sample.point_id in records)
    point_ids = dict.fromkeys(point.point_id for point in (*reported, *finished))
    return list(point_ids), listing.strays


def evaluate_points(
    point_ids: Sequence[str],
    storage: Storage,
    wanted: Wanted = ALWAYS,
    *,
    load: Callable[[], None] = lambda: None,
    images: Mapping[str, int] = MappingProxyType({}),
    max_concurrent: int | None = None,
    address: str = "local",
    progress: Progress = silent,
) -> Iterator[tuple[str, str]]:
    """Evaluate points and yield each id when it is done, with the reason if that failed.

    What is stored already is kept, so a pass that was cut off goes on where it was. ``load``
    registers users' own models. ``address`` is that of ``ray_session``. ``progress`` gets the
    images that were passed and are to be passed, of all points; before a point begins those are as
    ``images`` says.
    """
    evaluate = partial(_reason_not_evaluated, storage=storage, wanted=wanted, load=load)
    tally = _Tally({point_id: images.get(point_id, 0) for point_id in point_ids}, progress)
    if at_once(point_ids, max_concurrent, address):
        yield from _on_ray(evaluate, point_ids, max_concurrent, address, tally)
        return
    for point_id in point_ids:
        yield point_id, evaluate(point_id, partial(tally.note, point_id))
        tally.end(point_id)


def at_once(point_ids: Sequence[str], max_concurrent: int | None, address: str) -> int | None:
    """How many points Ray is given at once; None: they are few, and evaluated here."""
    if len(point_ids) <= FEW and address == "local":
        return None
    return max_concurrent or (available_cores() if address == "local" else QUEUED)


class _Tally:
    """The images that were passed and are to be passed, by point."""

    def __init__(self, images: Mapping[str, int], progress: Progress) -> None:
        self._images = {point_id: (0, total) for point_id, total in images.items()}
        self._progress = progress

    def note(self, point_id: str, done: int, total: int) -> None:
        self._images[point_id] = done, total
        done, total = map(sum, zip(*self._images.values(), strict=True))
        self._progress(done, total)

    def end(self, point_id: str) -> None:
        """A point is done, or will not be done any more."""
        _, total = self._images[point_id]
        self.note(point_id, total, total)


def _on_ray(
    evaluate: Callable[[str, Progress], str],
    point_ids: Sequence[str],
    max_concurrent: int | None,
    address: str,
    tally: _Tally,
) -> Iterator[tuple[str, str]]:
    import ray
    from ray.exceptions import RayError

    from tune_jobs.cluster.connection import ray_session
    from tune_jobs.cluster.scratch import scratch_folder

    slots = at_once(point_ids, max_concurrent, address)
    assert slots is not None
    cpus = max_concurrent or available_cores()
    with scratch_folder() as scratch, ray_session(scratch / "ray", address=address, cpus=cpus):
        task, actor = ray.remote(num_cpus=1)(_call), ray.remote(num_cpus=0)(_Reports)
        reports: Any = actor.remote()
        waiting, running = list(reversed(point_ids)), {}
        while waiting or running:
            while waiting and len(running) < slots:
                point_id = waiting.pop()
                running[task.remote(evaluate, point_id, reports)] = point_id
            done, _ = ray.wait(list(running), timeout=LOOK_SECONDS)
            with suppress(RayError):  # its machine was lost: then less is shown
                new: Any = ray.get(reports.take.remote())
                for point_id, (passed, total) in new.items():
                    tally.note(point_id, passed, total)
            for ready in done:
                try:
                    reason = ray.get(ready)
                except RayError as error:  # its process died, again and again
                    reason = _one_line(error)
                point_id = running.pop(ready)
                tally.end(point_id)
                yield point_id, reason


class _Reports:
    """An actor: how far points are that are being evaluated."""

    def __init__(self) -> None:
        self._new: dict[str, tuple[int, int]] = {}

    def note(self, point_id: str, done: int, total: int) -> None:
        self._new[point_id] = done, total

    def take(self) -> dict[str, tuple[int, int]]:
        """What is new since the last time."""
        new, self._new = self._new, {}
        return new


def _call(evaluate: Callable[[str, Progress], str], point_id: str, reports: Any) -> str:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LOOK_SECONDS:
            last = time.monotonic()
            reports.note.remote(point_id, done, total)

    return evaluate(point_id, report)


def _reason_not_evaluated(
    point_id: str,
    progress: Progress,
    *,
    storage: Storage,
    wanted: Wanted,
    load: Callable[[], None],
) -> str:
    """Evaluate a point; why that failed, or nothing."""
    from tune_jobs.evaluation.measures import evaluate_point  # torch takes seconds to import

    try:
        load()
        evaluate_point(point_id, storage, wanted, progress=progress)
    except Exception as error:
        return _one_line(error)
    return ""


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
