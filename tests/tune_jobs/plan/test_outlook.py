from pathlib import Path

import pytest

from lab.records import put_failure, put_record
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.plan.outlook import Outlook, look_ahead
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.study.file import load_study, parse_study


def opened(bars: Path) -> OpenedStudy:
    content = {
        "name": "mine",
        "axes": {
            "model": ["standard", "xu"],
            "dataset": str(bars),
            "scenario": 2,
            "kernel_size": 3,
            "interpolation": None,
        },
        "phases": [
            {"name": "rates", "axes": {"lr": [0.01, 0.001], "seed": [1, 2]}, "select": "paper"},
            {"name": "seeds", "axes": {"lr": "chosen", "seed": {"from": 1, "to": 4}}},
        ],
    }
    return open_study(parse_study(content, where="x.yaml"), None)


def ahead(study: OpenedStudy, storage: Storage) -> Outlook:
    return look_ahead(study, storage, take_inventory(storage))


def cell(outlook: Outlook, phase: int, model: str):
    (found,) = (one for one in outlook.phases[phase].cells if one.cell.model == model)
    return found


def test_the_published_grid_is_counted_without_its_datasets(tmp_path: Path):
    study = open_study(load_study("paper"), tmp_path)
    outlook = ahead(study, Storage(tmp_path / "runs"))
    assert [phase.points for phase in outlook.phases] == [1760, 5500]
    assert (outlook.reported, outlook.distinct) == (5500, 6380)
    assert set(study.missing) == {"emoji", "mnist", "trafficsign", "aerial"}
    assert all(cell.trial for cell in outlook.cells)
    assert sum(cell.left for cell in outlook.cells) == 6380
    assert not (tmp_path / "runs").exists()


def test_points_wait_until_their_rate_is_chosen_and_are_counted_once(bars: Path, storage: Storage):
    study = opened(bars)
    for point in study.study.points:
        if point.model == "standard":
            put_record(storage, study.spec(point), valid_accuracy=point.lr)
    outlook = ahead(study, storage)
    done, waits = cell(outlook, 1, "standard"), cell(outlook, 1, "xu")
    assert (done.rates, done.waiting) == ((0.01,), 0)
    assert (done.states[TrialState.FINISHED], done.states[TrialState.TO_DO], done.left) == (2, 2, 2)
    assert (waits.rates, waits.waiting, waits.repeated, waits.left) == ((), 4, 2, 2)
    assert (outlook.distinct, outlook.reported) == (12, 8)


def test_a_point_of_two_phases_takes_its_time_once(bars: Path, storage: Storage):
    content = {
        "name": "mine",
        "axes": {
            "model": "standard",
            "dataset": str(bars),
            "scenario": 2,
            "kernel_size": 3,
            "interpolation": None,
            "lr": 0.001,
        },
        "phases": [
            {"name": "first", "axes": {"seed": 1}},
            {"name": "more", "axes": {"seed": {"from": 1, "to": 3}}},
        ],
    }
    outlook = ahead(open_study(parse_study(content, where="x.yaml"), None), storage)
    assert [(one.points, one.repeated, one.left) for one in outlook.cells] == [(1, 0, 1), (3, 1, 2)]
    assert (outlook.distinct, outlook.reported) == (3, 3)


def test_a_failed_point_is_not_among_those_that_take_time(bars: Path, storage: Storage):
    study = opened(bars)
    before = ahead(study, storage)
    put_failure(storage, study.spec(study.study.points[0]), "OSError: the disk was full")
    after = ahead(study, storage)
    assert cell(after, 0, "standard").states[TrialState.FAILED] == 1
    trial = cell(before, 0, "standard").trial
    assert trial is not None
    assert before.trial_seconds_left - after.trial_seconds_left == pytest.approx(trial.seconds)


def test_hours_are_measured_where_there_are_records(bars: Path, storage: Storage):
    study = opened(bars)
    put_record(storage, study.spec(study.study.points[0]), valid_accuracy=0.5, epoch_seconds=100.0)
    outlook = ahead(study, storage)
    standard, xu = cell(outlook, 1, "standard").trial, cell(outlook, 1, "xu").trial
    assert standard is not None
    assert xu is not None
    assert (standard.source, xu.source) == ("records", "table")
    assert standard.seconds == pytest.approx(300, rel=0.6)
