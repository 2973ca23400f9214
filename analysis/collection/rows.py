"""The rows that a record, a failure, a phase of a study or a search has in the results tables."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from analysis.tables.schemas import SCHEMAS, SEARCH_PHASE
from tune_jobs.records.schema import RecordError, time_of
from tune_jobs.records.search import Sample, SearchOutcome
from tune_jobs.records.study import StudyRecord
from tune_jobs.records.trial import FailureRecord, TrialRecord

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Rows = Mapping[str, pa.Table]


def rows_of_record(record: TrialRecord) -> Rows:
    """The rows of a good result."""
    last = record.epochs[-1]
    trial = _shared(record) | {
        "status": "finished",
        "num_classes": record.num_classes,
        "num_parameters": record.num_parameters,
        "best_epoch": record.best_epoch,
        "best_valid_accuracy": record.best_valid_accuracy,
        "collapsed": record.collapsed,
        "test_accuracy": record.test_accuracy,
        "test_loss": record.test_loss,
        "last_train_loss": last.train_loss,
        "last_train_accuracy": last.train_accuracy,
        "last_valid_loss": last.valid_loss,
        "last_valid_accuracy": last.valid_accuracy,
        "train_seconds": _mean(epoch.train_seconds for epoch in record.epochs),
        "last_train_seconds": last.train_seconds,
        "valid_seconds": _mean(epoch.valid_seconds for epoch in record.epochs),
        "epoch_seconds": fmean(epoch.seconds for epoch in record.epochs),
        "wall_seconds": record.wall_seconds,
        "finished_at": time_of(record.finished_at),
        "resumed": len(record.resumptions),
    }
    scales = [
        {"point_id": record.point_id, "accuracy": scale.correct / scale.total} | _fields(scale)
        for scale in record.scales
    ]
    return _tables(trials=[trial], epochs=_epochs(record), scale_accuracy=scales)


def rows_of_failure(failure: FailureRecord) -> Rows:
    """The rows of a point that has no result: why, and the epochs it got through."""
    trial = _shared(failure) | {
        "status": "failed",
        "error": failure.error,
        "finished_at": time_of(failure.failed_at),
    }
    return _tables(trials=[trial], epochs=_epochs(failure), scale_accuracy=[])


def rows_of_study(phase: StudyRecord, storage: str) -> Rows:
    """The points of a phase of a study, and what was chosen for each cell, from what evidence.

    Raises RecordError if a point or a cell comes twice.
    """
    _once("point", (entry.point_id for entry in phase.points))
    _once("cell", (choice.cell for choice in phase.choices))
    where = {"storage": storage, "study": phase.study, "phase": phase.phase}
    points = [
        where | {"point_id": entry.point_id, "reported": entry.reported} | asdict(entry.point)
        for entry in phase.points
    ]
    cells = [
        where
        | asdict(choice.cell)
        | {"written_at": time_of(phase.written_at)}
        | {"rule": choice.rule, "lr": choice.lr, "undecided": choice.undecided}
        | {"evidence": json.dumps([asdict(rate) for rate in choice.rates])}
        for choice in phase.choices
    ]
    return _tables(study_points=points, cells=cells)


def rows_of_search(
    samples: Iterable[Sample], outcomes: Iterable[SearchOutcome], storage: str
) -> Rows:
    """The samples of a search and how each ended; ``to do`` if it has not.

    A search picks what is good by chance as well, so that no point counts as reported by it.
    """
    ends = {outcome.point_id: outcome for outcome in outcomes}
    searches, points = [], {}
    for sample in samples:
        end = ends.get(sample.point_id)
        points[sample.point_id] = {
            "storage": storage,
            "study": sample.study,
            "phase": SEARCH_PHASE,
            "point_id": sample.point_id,
            **asdict(sample.point),
            "reported": False,
        }
        row = {
            "study": sample.study,
            "sample": sample.number,
            "point_id": sample.point_id,
            **asdict(sample.point),
            **asdict(sample.recipe),
            "status": "to do",
        }
        if end:
            row |= {
                "status": end.status,
                "reason": end.reason,
                "epochs": end.epochs,
                "best_epoch": end.best_epoch,
                "best_valid_accuracy": end.best_valid_accuracy,
                "test_accuracy": end.test_accuracy,
                "ended_at": time_of(end.ended_at),
            }
        searches.append(row)
    return _tables(searches=searches, study_points=list(points.values()))


def _shared(record: TrialRecord | FailureRecord) -> dict[str, Any]:
    return {
        "point_id": record.point_id,
        "source": "ours",
        **_fields(record.point),
        **_fields(record.recipe),
        "on_divergence": "stop" if record.recipe.on_divergence == "stop" else None,
        "epochs": len(record.epochs),
        "started_at": time_of(record.started_at),
        "dataset_fingerprint": record.dataset_fingerprint,
        "model_version": str(record.model_version),
        "protocol_version": record.protocol_version,
        **_fields(record.provenance),
    }


def _epochs(record: TrialRecord | FailureRecord) -> list[dict[str, Any]]:
    return [{"point_id": record.point_id} | _fields(epoch) for epoch in record.epochs]


def _fields(value: "DataclassInstance") -> dict[str, Any]:
    """What a dataclass of plain values holds; ``asdict`` takes ten times as long to copy those."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _mean(seconds: Iterable[float | None]) -> float | None:
    """The mean over the epochs that were timed, if any was."""
    known = [value for value in seconds if value is not None]
    return fmean(known) if known else None


def _once(what: str, things: Iterable[Hashable]) -> None:
    for thing, count in Counter(things).items():
        if count > 1:
            raise RecordError(f"A {what} must come once in a phase; {thing} comes {count} times.")


def _tables(**rows: list[dict[str, Any]]) -> Rows:
    try:
        return {name: pa.Table.from_pylist(new, SCHEMAS[name]) for name, new in rows.items()}
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise RecordError(
            f"A record's values must fit the tables; one does not: {error}."
        ) from None
