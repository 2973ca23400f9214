"""Evaluate the finished points of a study: here if they are few, on Ray if they are many."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from tune_jobs.errors import TuneJobsError
from tune_jobs.plugins import import_models
from tune_jobs.record import point_id_of
from tune_jobs.storage import Storage
from tune_jobs.study_record import StudyRecord

FEW = 4  # points; starting Ray takes as long as evaluating some


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluable:
    """The reported points of a study, by what there is of them."""

    todo: tuple[str, ...]
    done: tuple[str, ...]
    unfinished: tuple[str, ...]  # without a record


def evaluable(study: str, storage: Storage, *, predictions: bool = False) -> Evaluable:
    """Sort the points that a study's runs have written down; reads names only.

    Raises TuneJobsError for a study that was never run with this storage.
    """
    records = [
        StudyRecord.from_json(storage.read(item.key)) for item in storage.list(f"studies/{study}")
    ]
    if not records:
        raise TuneJobsError(
            f"A study must have been run before it is evaluated; {storage.uri} has no "
            f"studies/{study}. `tune-jobs run {study}` writes that."
        )
    points = dict.fromkeys(
        point.point_id for record in records for point in record.points if point.reported
    )
    folders = ["records", "evaluations"] + ["predictions"] * predictions
    stored = [{point_id_of(item.key) for item in storage.list(folder)} for folder in folders]
    finished = [point_id for point_id in points if point_id in stored[0]]
    done = set.intersection(*stored)
    return Evaluable(
        todo=tuple(point_id for point_id in finished if point_id not in done),
        done=tuple(point_id for point_id in finished if point_id in done),
        unfinished=tuple(point_id for point_id in points if point_id not in stored[0]),
    )


def evaluate_points(
    point_ids: Sequence[str],
    storage: Storage,
    *,
    predictions: bool = False,
    imports: Sequence[str] = (),
    max_concurrent: int | None = None,
) -> Iterator[tuple[str, str]]:
    """Evaluate points and yield each id when it is through, with the reason if that failed.

    What is stored already is kept, so a pass that was cut off goes on where it was. ``imports``
    are the modules that register users' own models.
    """
    evaluate = partial(
        _reason_not_evaluated, storage=storage, predictions=predictions, imports=imports
    )
    if len(point_ids) > FEW:
        yield from _on_ray(evaluate, point_ids, max_concurrent)
    else:
        for point_id in point_ids:
            yield point_id, evaluate(point_id)


def _on_ray(
    evaluate: Callable[[str], str], point_ids: Sequence[str], max_concurrent: int | None
) -> Iterator[tuple[str, str]]:
    import ray
    from ray.exceptions import RayError

    from tune_jobs.local_ray import local_ray, scratch_folder

    slots = max_concurrent or os.cpu_count() or 1
    with scratch_folder() as scratch, local_ray(scratch / "ray", cpus=slots):
        task = ray.remote(num_cpus=1)(_call)
        waiting, running = list(reversed(point_ids)), {}
        while waiting or running:
            while waiting and len(running) < slots:
                point_id = waiting.pop()
                running[task.remote(evaluate, point_id)] = point_id
            (ready,), _ = ray.wait(list(running))
            try:
                reason = ray.get(ready)
            except RayError as error:  # its process died, again and again
                reason = _one_line(error)
            yield running.pop(ready), reason


def _call(evaluate: Callable[[str], str], point_id: str) -> str:
    return evaluate(point_id)


def _reason_not_evaluated(
    point_id: str, *, storage: Storage, predictions: bool, imports: Sequence[str]
) -> str:
    """Evaluate a point; why that failed, or nothing."""
    from tune_jobs.evaluation import evaluate_point  # torch takes seconds to import

    try:
        import_models(imports)
        evaluate_point(point_id, storage, predictions=predictions)
    except Exception as error:
        return _one_line(error)
    return ""


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
