"""One record, failure or phase of a study -> its rows in the results tables; pure."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from statistics import fmean
from typing import Any

import pyarrow as pa

from analysis.schemas import SCHEMAS
from stir.scenarios import SCENARIOS
from tune_jobs.record import FailureRecord, RecordError, TrialRecord
from tune_jobs.search_record import Sample, SearchOutcome
from tune_jobs.study_record import StudyRecord

Rows = Mapping[str, pa.Table]
SEARCH_PHASE = "search"  # what study_points calls the points of a search


def rows_of_record(record: TrialRecord) -> Rows:
    """The rows of a good result; raises RecordError if its numbers contradict each other."""
    _check(record)
    last = record.epochs[-1]
    trial = _shared(record) | {
        "status": "finished",
        "num_classes": record.num_classes,
        "num_parameters": record.num_parameters,
        "best_epoch": record.best_epoch,
        "best_valid_accuracy": record.best_valid_accuracy,
        "collapsed": record.best_valid_accuracy < 2 / record.num_classes,
        "test_accuracy": record.test_accuracy,
        "test_loss": record.test_loss,
        "last_train_loss": last.train_loss,
        "last_train_accuracy": last.train_accuracy,
        "last_valid_loss": last.valid_loss,
        "last_valid_accuracy": last.valid_accuracy,
        "epoch_seconds": fmean(epoch.seconds for epoch in record.epochs),
        "last_epoch_seconds": last.seconds,
        "wall_seconds": record.wall_seconds,
        "finished_at": _time(record.finished_at),
        "resumed": len(record.resumptions),
    }
    scales = [
        {"point_id": record.point_id, "accuracy": scale.correct / scale.total} | asdict(scale)
        for scale in record.scales
    ]
    return _tables(trials=[trial], epochs=_epochs(record), scale_accuracy=scales)


def rows_of_failure(failure: FailureRecord) -> Rows:
    """The rows of a point that has no result: why, and the epochs it got through."""
    trial = _shared(failure) | {
        "status": "failed",
        "error": failure.error,
        "finished_at": _time(failure.failed_at),
    }
    return _tables(trials=[trial], epochs=_epochs(failure), scale_accuracy=[])


def rows_of_study(phase: StudyRecord) -> Rows:
    """The points of a phase of a study, and what was chosen for each cell, from what evidence."""
    where = {"study": phase.study, "phase": phase.phase}
    points = [
        where | {"point_id": entry.point_id, "reported": entry.reported} for entry in phase.points
    ]
    cells = [
        where
        | asdict(choice.cell)
        | {"rule": choice.rule, "lr": choice.lr, "undecided": choice.undecided}
        | {"evidence": json.dumps([asdict(rate) for rate in choice.rates])}
        for choice in phase.choices
    ]
    return _tables(study_points=points, cells=cells)


def rows_of_search(samples: Iterable[Sample], outcomes: Iterable[SearchOutcome]) -> Rows:
    """The samples of a search and how each ended; ``to do`` if it has not.

    A search picks what is good by chance as well, so that no point counts as reported by it.
    """
    ends = {outcome.point_id: outcome for outcome in outcomes}
    searches, points = [], {}
    for sample in samples:
        end = ends.get(sample.point_id)
        points[sample.point_id] = {
            "study": sample.study,
            "phase": SEARCH_PHASE,
            "point_id": sample.point_id,
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
                "ended_at": _time(end.ended_at),
            }
        searches.append(row)
    return _tables(searches=searches, study_points=list(points.values()))


def _shared(record: TrialRecord | FailureRecord) -> dict[str, Any]:
    return {
        "point_id": record.point_id,
        "source": "ours",
        **asdict(record.point),
        **asdict(record.recipe),
        "epochs": len(record.epochs),
        "started_at": _time(record.started_at),
        "dataset_fingerprint": record.dataset_fingerprint,
        "model_version": str(record.model_version),
        "protocol_version": record.protocol_version,
        **asdict(record.provenance),
    }


def _epochs(record: TrialRecord | FailureRecord) -> list[dict[str, Any]]:
    return [{"point_id": record.point_id} | asdict(epoch) for epoch in record.epochs]


def _tables(**rows: list[dict[str, Any]]) -> Rows:
    try:
        return {name: pa.Table.from_pylist(new, SCHEMAS[name]) for name, new in rows.items()}
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise RecordError(
            f"A record's values must fit the tables; one does not: {error}."
        ) from None


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise RecordError(f"A time must be ISO 8601 with its zone; got {text!r:.60}.")
    return time


def _check(record: TrialRecord) -> None:
    epochs = [epoch.epoch for epoch in record.epochs]
    if epochs != list(range(1, len(epochs) + 1)) or record.best_epoch not in epochs:
        raise RecordError(
            f"Epochs must be numbered 1, 2, 3 and so on with the best among them; "
            f"got {epochs!s:.60} and {record.best_epoch}."
        )
    if record.num_classes < 2:
        raise RecordError(f"A dataset must have at least 2 classes; got {record.num_classes}.")
    shares = [record.best_valid_accuracy, record.test_accuracy] + [
        share for epoch in record.epochs for share in (epoch.train_accuracy, epoch.valid_accuracy)
    ]
    if not all(0 <= share <= 1 for share in shares):
        raise RecordError(f"An accuracy must lie in 0..1; got {min(shares)} to {max(shares)}.")
    _check_scales(record)


def _check_scales(record: TrialRecord) -> None:
    counts = {scale.scale: (scale.correct, scale.total) for scale in record.scales}
    if len(counts) != len(record.scales):
        raise RecordError("No scale may come twice in a record; one does.")
    if not all(0 <= correct <= total and total > 0 for correct, total in counts.values()):
        raise RecordError(
            "At each scale 0 <= correct <= total and total > 0 must hold; it does not."
        )
    if record.point.scenario not in SCENARIOS:
        raise RecordError(
            f"A scenario must be one of {', '.join(map(str, SCENARIOS))}; "
            f"got {record.point.scenario}."
        )
    tested = SCENARIOS[record.point.scenario].test_scales
    if missing := set(tested) - set(counts):
        raise RecordError(f"Every test scale must have its counts; missing: {sorted(missing)}.")
    correct, total = (sum(counts[scale][i] for scale in tested) for i in range(2))
    if not math.isclose(correct / total, record.test_accuracy, abs_tol=1e-9):
        raise RecordError(
            f"test_accuracy must be that of the test scales, {correct}/{total}; "
            f"got {record.test_accuracy}."
        )
