import struct
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from lab.records import put_record
from tune_jobs.cli import main
from tune_jobs.errors import TuneJobsError
from tune_jobs.exports.records import export
from tune_jobs.exports.tensorboard import TensorBoardFolder
from tune_jobs.point import TrialSpec
from tune_jobs.records.keys import record_key
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage


def events(run: Path) -> list[Any]:
    """The events of a run: length, checksum, message, checksum, and so on."""
    (path,) = run.iterdir()
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def scalars(run: Path, tag: str) -> list[tuple[int, float]]:
    values = [(event, value) for event in events(run) for value in event.summary.value]
    return [(event.step, value.simple_value) for event, value in values if value.tag == tag]


@pytest.fixture
def boards(records: list[TrialRecord], storage: Storage, tmp_path: Path) -> Path:
    export(storage, TensorBoardFolder(tmp_path / "boards"))
    return tmp_path / "boards"


def run_of(record: TrialRecord, boards: Path) -> Path:
    (run,) = boards.glob(f"*-{record.point_id}")
    return run


def test_each_record_is_a_run_with_its_epochs_its_scales_and_its_end(
    records: list[TrialRecord], boards: Path
):
    assert len(list(boards.iterdir())) == 2
    run = run_of(records[1], boards)
    assert run.name == f"standard-bars-s2-seed2-{records[1].point_id}"
    assert scalars(run, "epochs/valid_accuracy") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert scalars(run, "test_accuracy") == [(0, 0.5)]
    by_scale = scalars(run, "test/accuracy_by_scale")
    assert [step for step, _ in by_scale] == list(range(17, 65))


def test_names_of_several_parts_are_one_folder_and_none_leads_out_of_it(
    records: list[TrialRecord], tmp_path: Path
):
    target = TensorBoardFolder(tmp_path / "boards")
    before = set(tmp_path.iterdir())
    for name in ("mine/net", "lab/2026/net:v2", "C:/net", "a b/..c"):
        point = replace(records[0].point, model=name)
        target.add(replace(records[0], point=point))
        [run] = [path for path in (tmp_path / "boards").iterdir() if path.name.startswith(name[:1])]
        assert run.name == f"{name.replace('/', '_')}-bars-s2-seed1-{records[0].point_id}"
    for name in ("../../x", "..", "a\\..\\b", "a\0b"):
        with suppress(TuneJobsError):
            target.add(replace(records[0], point=replace(records[0].point, model=name)))
    assert set(tmp_path.iterdir()) == before


def test_parameters_can_be_compared(records: list[TrialRecord], boards: Path):
    tags = [v.tag for event in events(run_of(records[0], boards)) for v in event.summary.value]
    assert "_hparams_/session_start_info" in tags


def test_an_epoch_stands_where_it_was_trained(records: list[TrialRecord], boards: Path):
    when = datetime.fromisoformat(records[0].epochs[0].finished_at).timestamp()
    times = {e.wall_time for e in events(run_of(records[0], boards)) if e.summary.value and e.step}
    assert times == {when}


def test_exporting_again_adds_only_what_is_new(
    records: list[TrialRecord], storage: Storage, tmp_path: Path
):
    target = TensorBoardFolder(tmp_path / "boards")
    kept = storage.read(record_key(records[1].point_id))
    storage.delete(record_key(records[1].point_id))
    assert (export(storage, target).added, export(storage, target).added) == (1, 0)
    storage.write(record_key(records[1].point_id), kept)
    again = export(storage, target)
    assert (again.added, again.there) == (1, 1)


class Waiting:
    """A target whose runs all wait until four of them are being written."""

    at_once = 4

    def __init__(self) -> None:
        self._together = threading.Barrier(4, timeout=60)

    def known(self) -> set[str]:
        return set()

    def add(self, record: TrialRecord) -> None:
        self._together.wait()


def test_as_many_runs_are_written_at_once_as_a_target_takes(
    records: list[TrialRecord], storage: Storage
):
    one = records[0]
    for seed in range(3, 9):
        spec = TrialSpec(
            point=replace(one.point, seed=seed),
            recipe=one.recipe,
            model_version=1,
            dataset_fingerprint=one.dataset_fingerprint,
        )
        put_record(storage, spec, valid_accuracy=0.5)
    assert export(storage, Waiting()).added == 8


def test_a_run_that_was_cut_off_is_no_run(records: list[TrialRecord], boards: Path):
    (boards / ".x1").mkdir()
    assert TensorBoardFolder(boards).known() >= {record.point_id for record in records}
    assert not any(name in TensorBoardFolder(boards).known() for name in ("x1", ""))


def test_a_damaged_record_is_named_and_the_others_are_exported(
    records: list[TrialRecord],
    storage: Storage,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    storage.write("records/0123456789ab.json", b"{}")
    words = ["export", "--storage", storage.uri, "--tensorboard", str(tmp_path / "boards")]
    assert main(words) == 1
    out = capsys.readouterr()
    assert out.out == f"{tmp_path / 'boards'}: 2 added, 0 there already\n"
    assert "records/0123456789ab.json: A record must be" in out.err


def test_a_file_where_the_folder_should_be_is_one_sentence(
    storage: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "boards").write_text("")
    words = ["export", "--storage", storage.uri, "--tensorboard", str(tmp_path / "boards")]
    assert main(words) == 2
    assert "--tensorboard must be a folder; " in capsys.readouterr().err


def test_export_needs_to_know_where_to(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["export"])
    assert end.value.code == 2
    assert "--tensorboard --mlflow is required" in capsys.readouterr().err


def test_export_explains_itself_with_an_example(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert "example: tune-jobs export " in capsys.readouterr().out
