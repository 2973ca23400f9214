import json
from pathlib import Path

import pytest

from lab.records import put_failure, put_record
from tune_jobs.cli import main
from tune_jobs.plan.choices import choices_of, read_runs, store_phase
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.plan.status import take_status
from tune_jobs.records.rental import Rental
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import new_claim, write_claim
from tune_jobs.storage.rentals import write_rentals
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


def test_what_machines_have_cost_so_far_is_shown_by_kind_and_price(
    study: OpenedStudy, storage: Storage, capsys: pytest.CaptureFixture[str]
):
    def rental(machine: str, kind: str, price: float, hours: float) -> Rental:
        return Rental(machine=machine, kind=kind, price=price, since=0.0, until=hours * 3600)

    put_record(storage, study.spec(study.study.points[0]), valid_accuracy=0.5)
    head, spot = rental("h", "head", 0.1, 10), rental("a", "cpu_spot", 0.2, 4)
    write_rentals(storage, "mine", "a" * 12, {"h": head, "a": spot})
    other = rental("b", "cpu_spot", 0.2, 6)
    write_rentals(storage, "mine", "b" * 12, {"b": other, "h": rental("h", "head", 0.1, 12)})
    assert main(["status", "--storage", storage.uri]) == 0
    assert (
        "cost of mine: 3.20 so far: cpu_spot 2.00 (2 machines, 10.0 h at 0.2), "
        "head 1.20 (1 machine, 12.0 h at 0.1)\n"
    ) in capsys.readouterr().out
    assert main(["status", "--storage", storage.uri, "--json"]) == 0
    (cost,) = json.loads(capsys.readouterr().out)["costs"]
    assert (cost["study"], cost["cost"]) == ("mine", pytest.approx(3.2))
    assert [one["kind"] for one in cost["machines"]] == ["cpu_spot", "head"]


def test_a_damaged_account_of_costs_is_named(storage: Storage, capsys: pytest.CaptureFixture[str]):
    storage.write("costs/mine/" + "a" * 12 + ".json", b"{")
    assert main(["status", "--storage", storage.uri]) == 0
    assert "damaged   costs/mine/aaaaaaaaaaaa.json: " in capsys.readouterr().out
