import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.point import Cell, Recipe
from tune_jobs.records.schema import RecordError
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import Choice, RateEvidence, RunEvidence, StudyPoint, StudyRecord

CELL = Cell(model="standard", dataset="emoji", scenario=2, kernel_size=7, interpolation=None)
RUN = RunEvidence(
    point_id="0123456789ab",
    seed=1,
    outcome=TrialState.FINISHED,
    best_valid_accuracy=0.5,
    collapsed=False,
)
CHOICE = Choice(
    cell=CELL,
    rule="paper",
    lr=1e-3,
    undecided="",
    rates=(RateEvidence(lr=1e-3, median=0.5, sound_share=1.0, runs=(RUN,)),),
)
RECORD = StudyRecord(
    study="mine",
    phase="rates",
    recipe=Recipe(),
    rule="paper",
    points=(StudyPoint(point_id="0123456789ab", point=CELL.point(lr=1e-3, seed=1), reported=True),),
    choices=(CHOICE,),
    written_at="2026-11-22T00:00:00.000+00:00",
)


def test_what_is_written_is_what_is_read():
    assert StudyRecord.from_json(RECORD.to_json()) == RECORD


def test_a_cell_without_rate_must_say_why():
    silent = replace(RECORD, choices=(replace(CHOICE, lr=None),))
    with pytest.raises(RecordError, match="must have a learning rate or a reason why not"):
        StudyRecord.from_json(silent.to_json())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "stir-study/2"}, "schema 'stir-study/1'; got 'stir-study/2'"),
        ({"rule": 3}, "rule: .*got 3"),
        ({"more": 1}, "more: "),
        ({"points": [{"point_id": "x"}]}, r"points\.0\.point"),
    ],
)
def test_another_form_is_refused(change: dict, message: str):
    with pytest.raises(RecordError, match=message):
        StudyRecord.from_json(json.dumps(json.loads(RECORD.to_json()) | change).encode())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_a_cut_object_is_refused(cut: int):
    data = RECORD.to_json()
    with pytest.raises(RecordError):
        StudyRecord.from_json(data[: cut % len(data)])


def test_reading_it_loads_neither_torch_nor_ray():
    code = (
        "import sys, tune_jobs.records.study;"
        "sys.exit(bool({'torch', 'ray', 'siconvnet'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
