"""A folder of runs for TensorBoard."""

import tempfile
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
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    ended = seconds_of(record.finished_at)
    with SummaryWriter(str(folder), write_to_disk=True) as writer:
        for epoch, values in of_epochs(record):
            for name, value in values.items():
                when = seconds_of(epoch.finished_at)
                writer.add_scalar(f"epochs/{name}", value, epoch.epoch, walltime=when)
        for scale, accuracy in by_scale(record):
            writer.add_scalar("test/accuracy_by_scale", accuracy, scale, walltime=ended)
        assert writer.file_writer is not None
        for summary in hparams(parameters(record), results(record)):
            writer.file_writer.add_summary(summary)
        for name, value in results(record).items():
            writer.add_scalar(name, value, 0, walltime=ended)
