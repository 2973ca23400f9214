from pathlib import Path

import pytest

from lab.records import put_failure, put_record
from tune_jobs.plan.choices import choices_of, read_runs, store_phase
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.plan.status import take_status
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import new_claim, write_claim
from tune_jobs.study.file import parse_study


@pytest.fixture
def study(bars: Path) -> OpenedStudy:
    content = {
        "name": "mine",
        "axes": {
            "model": ["standard", "xu"],
            "dataset": str(bars),
            "scenario": 2,
            "kernel_size": 3,
            "interpolation": None,
            "lr": 0.001,
            "seed": [1, 2],
        },
    }
    return open_study(parse_study(content, where="x.yaml"), None)


def test_every_point_of_a_stored_study_is_counted_by_state(study: OpenedStudy, storage: Storage):
    first, second, third, fourth = map(study.spec, study.study.points)
    (phase,) = study.study.phases
    runs = read_runs(study, storage, phase, study.study.points, take_inventory(storage))
    store_phase(study, storage, runs, choices_of(runs))
    put_record(storage, first, valid_accuracy=0.5)
    put_failure(storage, second, "OSError: the disk was full")
    put_failure(storage, second, "OSError: the disk was full again")
    write_claim(storage, third.point_id, new_claim("driver", (3, 7), None))
    status = take_status(storage)
    assert {cell.model: dict(states) for cell, states in status.cells.items()} == {
        "standard": {TrialState.FINISHED: 1, TrialState.FAILED: 1},
        "xu": {TrialState.IN_FLIGHT: 1, TrialState.TO_DO: 1},
    }
    (failed,) = status.failed
    assert (failed.point, failed.attempts) == (second.point, 2)
    assert failed.error == "OSError: the disk was full again"
    (running,) = status.running
    assert (running.point, running.claim.position) == (third.point, (3, 7))
    assert fourth.point_id in {entry.point_id for entry in status.studies[0].points}


def test_without_a_stored_study_there_are_the_points_that_have_an_object(
    study: OpenedStudy, storage: Storage
):
    first, second, *_ = map(study.spec, study.study.points)
    put_record(storage, first, valid_accuracy=0.5)
    put_failure(storage, second, "OSError: the disk was full")
    (states,) = take_status(storage).cells.values()
    assert states == {TrialState.FINISHED: 1, TrialState.FAILED: 1}


def test_a_point_that_failed_once_and_was_finished_later_is_no_failure(
    study: OpenedStudy, storage: Storage
):
    spec = study.spec(study.study.points[0])
    put_failure(storage, spec, "OSError: the disk was full")
    put_record(storage, spec, valid_accuracy=0.5)
    assert take_status(storage).failed == ()


def test_damaged_objects_are_named_and_the_others_counted(study: OpenedStudy, storage: Storage):
    first, second, *_ = map(study.spec, study.study.points)
    put_record(storage, first, valid_accuracy=0.5)
    put_record(storage, second, valid_accuracy=0.5)
    storage.write(f"records/{first.point_id}.json", b"{")
    storage.write("studies/mine/all.json", b"[]")
    status = take_status(storage)
    assert sum(states.total() for states in status.cells.values()) == 1  # pyright: ignore
    assert [line.split(":")[0] for line in status.damaged] == [
        "studies/mine/all.json",
        f"records/{first.point_id}.json",
    ]
