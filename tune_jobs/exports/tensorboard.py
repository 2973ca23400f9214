"""A folder of runs for TensorBoard."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tune_jobs.errors import TuneJobsError
from tune_jobs.exports.records import (
    by_scale,
    of_epochs,
    parameters,
    results,
    run_name,
    seconds_of,
    within,
)
from tune_jobs.records.trial import TrialRecord


class TensorBoardFolder:
    """``FOLDER/<run>/`` for each record, with its epochs, its end and its parameters.

    A run is written to a folder beside, whose name begins with a dot, and then renamed.
    """

    at_once = 16  # most of the time goes into waiting until a disk has one

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if folder.exists() and not folder.is_dir():
            raise TuneJobsError(f"--tensorboard must be a folder; {folder} is a file.")
        folder.mkdir(parents=True, exist_ok=True)

    def known(self) -> set[str]:
        return {path.name.rpartition("-")[2] for path in self._folder.iterdir() if path.is_dir()}

    def add(self, record: TrialRecord) -> None:
        with tempfile.TemporaryDirectory(prefix=".", dir=self._folder) as beside:
            written = Path(beside) / "run"
            _write(record, written)
            written.replace(within(self._folder, run_name(record)))


def _write(record: TrialRecord, folder: Path) -> None:
    """One event for all values of a moment, written at once: a writer with a queue takes longer."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event  # type: ignore[attr-defined]
    from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
    from tensorboardX.summary import hparams

    folder.mkdir()
    ended = seconds_of(record.finished_at)
    writer = EventsWriter(str(folder / "events"))

    def add(values: Mapping[str, float], step: int, when: float) -> None:
        entries = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        writer.write_event(Event(summary=Summary(value=entries), step=step, wall_time=when))

    for epoch, values in of_epochs(record):
        found = {f"epochs/{name}": value for name, value in values.items()}
        add(found, epoch.epoch, seconds_of(epoch.finished_at))
    for scale, accuracy in by_scale(record):
        add({"test/accuracy_by_scale": accuracy}, scale, ended)
    for summary in hparams(parameters(record), results(record)):
        writer.write_event(Event(summary=summary, wall_time=ended))
    add(results(record), 0, ended)
    writer.close()
