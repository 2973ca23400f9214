"""A study run from Python, its results as a pandas frame."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.driver import phases
from tune_jobs.driver.options import RunOptions
from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.point import GridPoint
from tune_jobs.records.state import TrialState
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import last_failure, read_records, read_study
from tune_jobs.study.file import load_study
from tune_jobs.study.study import Study
from tune_jobs.study.subset import Only

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {  # those that a point may lack have a missing value
    **{"point_id": "string", "model": "string", "dataset": "string", "scenario": "int64"},
    **{"kernel_size": "int64", "interpolation": "string", "lr": "float64", "seed": "int64"},
    **{"reported": "bool", "status": "string", "test_accuracy": "float64", "test_loss": "float64"},
    **{"best_valid_accuracy": "float64", "epochs": "Int64", "best_epoch": "Int64"},
    **{"wall_seconds": "float64", "collapsed": "boolean", "error": "string"},
}
OF_RECORD = ("test_accuracy", "test_loss", "best_valid_accuracy", "best_epoch", "wall_seconds")


def run_study(
    study: str | Path | Study | OpenedStudy,
    storage: Storage | str | Path = "runs",
    options: RunOptions | None = None,
    *,
    data_dir: str | Path | None = None,
    only: Only | Iterable[str] = (),
    say: Callable[[str], None] = print,
    **more: Any,
) -> "pd.DataFrame":
    """Run what a study still has to do, on Ray; return a frame with a row for each of its points.

    ``study`` is a shipped study's name, the path of a YAML file, or what ``load_study`` or
    ``open_study`` gave; ``storage`` a folder or ``s3://bucket/prefix``; ``only`` conditions such as
    ``"model=disco"``, of which all must hold. Fields of RunOptions may be given by themselves, such
    as ``max_concurrent=2`` or ``address="auto"``. What is finished is never run again, and Ray is
    not started if nothing is left.

    Columns are named as in the table ``trials`` of a results folder: the point (``point_id``,
    ``model`` ... ``seed``), ``status``, ``test_accuracy`` and other results (accuracies 0..1,
    losses in nats, times in seconds; missing without a record) and ``error``; beside them
    ``reported``, whether the point counts in tables (it does not at a learning rate that was not
    chosen). A point that waits for a learning rate has no row. A trial that fails raises
    nothing. Raises TuneJobsError for bad input and for a search, StirError for a dataset that
    is missing.
    """
    opened = _opened(study, data_dir)
    storage = storage if isinstance(storage, Storage) else Storage(storage)
    only = only if isinstance(only, Only) else Only.parse(only, opened.study)
    summary = phases.run_study(opened, storage, options, only=only, say=say, **more)
    return _frame(opened, storage, summary.states)


def _opened(study: str | Path | Study | OpenedStudy, data_dir: str | Path | None) -> OpenedStudy:
    if isinstance(study, OpenedStudy):
        return study
    loaded = study if isinstance(study, Study) else load_study(str(study))
    return open_study(loaded, data_dir)


def _frame(opened: OpenedStudy, storage: Storage, states: dict[str, TrialState]) -> "pd.DataFrame":
    import pandas as pd  # with ray[tune]; takes a second

    records = read_records(storage, states)
    points: dict[str, tuple[GridPoint, bool]] = {}
    for phase in opened.study.phases:
        stored = read_study(storage, opened.study.name, phase.name)
        for entry in stored.points if stored else ():
            _, before = points.get(entry.point_id, (None, False))
            points[entry.point_id] = (entry.point, before or entry.reported)
    rows = [
        {
            "point_id": point_id,
            **asdict(points[point_id][0]),
            "reported": points[point_id][1],
            "status": str(state),
            **_results(records.get(point_id)),
            "error": _error(storage, point_id) if state is TrialState.FAILED else None,
        }
        for point_id, state in states.items()
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS]).astype(COLUMNS)


def _results(record: TrialRecord | None) -> dict[str, Any]:
    if record is None:
        return dict.fromkeys((*OF_RECORD, "epochs", "collapsed"))
    results = {name: getattr(record, name) for name in OF_RECORD}
    return results | {"epochs": len(record.epochs), "collapsed": record.collapsed}


def _error(storage: Storage, point_id: str) -> str:
    return last_failure(storage, point_id).error
