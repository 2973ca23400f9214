"""Phases, with a runner that writes records instead of training."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.records import put_failure, put_record
from stir import StirError
from tune_jobs.driver.options import RunOptions
from tune_jobs.driver.phases import run_phases
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.choices import choices_of, read_runs, store_phase
from tune_jobs.plan.inventory import survey, take_inventory
from tune_jobs.plan.opened import OpenedStudy, Plan, open_study
from tune_jobs.point import GridPoint
from tune_jobs.records.schema import RecordError
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import StudyRecord
from tune_jobs.storage import Storage
from tune_jobs.study.file import parse_study
from tune_jobs.study.subset import Only

LOST = "lost.npz"  # a dataset that is not there
CHOSEN = {"standard": 0.01, "xu": 0.001}


def opened(
    bars: Path, *, rule: str = "paper", dataset: object = None, last: int = 4
) -> OpenedStudy:
    """Two models, two rates on seeds 1 and 2, then seeds 1 to ``last`` at the chosen rate."""
    content = {
        "name": "mine",
        "axes": {
            "model": ["standard", "xu"],
            "dataset": dataset or str(bars),
            "scenario": 2,
            "kernel_size": 3,
            "interpolation": None,
        },
        "phases": [
            {"name": "rates", "axes": {"lr": [0.01, 0.001], "seed": [1, 2]}, "select": rule},
            {"name": "seeds", "axes": {"lr": "chosen", "seed": {"from": 1, "to": last}}},
        ],
    }
    return open_study(parse_study(content, where="x.yaml"), None)


@dataclass(frozen=True)
class Summary:
    states: dict[str, TrialState]
    stopped: bool = False
    broken: tuple[str, ...] = ()
    spent: float | None = None


@dataclass
class Runner:
    """Finishes every trial it is given, well at the rate that is to be chosen, but for some."""

    storage: Storage
    fails: Callable[[GridPoint], bool] = lambda point: False
    stops: bool = False
    ran: list[list[GridPoint]] = field(default_factory=list)

    def __call__(self, plan: Plan, stop_after_seconds: float | None) -> Summary:
        self.ran.append([spec.point for spec in plan.specs])
        for spec in plan.specs:
            if not self.fails(spec.point):
                good = spec.point.lr == CHOSEN[spec.point.model]
                put_record(self.storage, spec, valid_accuracy=0.9 if good else 0.6)
        return Summary(survey(plan.specs, self.storage), stopped=self.stops)


@pytest.fixture
def runner(storage: Storage) -> Runner:
    return Runner(storage)


def stored(storage: Storage, phase: str) -> StudyRecord:
    return StudyRecord.from_json(storage.read(f"studies/mine/{phase}.json"))


def test_the_second_phase_runs_at_the_chosen_rates_and_repeats_nothing(
    bars: Path, storage: Storage, runner: Runner
):
    summary = run_phases(opened(bars), storage, runner, RunOptions())
    first, second = runner.ran
    assert len(first) == 8
    assert [(p.model, p.lr, p.seed) for p in second] == [
        ("xu", 0.001, 3),  # costliest first
        ("xu", 0.001, 4),
        ("standard", 0.01, 3),
        ("standard", 0.01, 4),
    ]
    assert summary.is_complete
    assert len(summary.states) == 12
    run_phases(opened(bars), storage, runner, RunOptions())
    assert len(runner.ran) == 2  # nothing was left to do


def test_what_was_chosen_from_what_is_stored_with_the_points_that_count(
    bars: Path, storage: Storage, runner: Runner
):
    run_phases(opened(bars), storage, runner, RunOptions())
    rates, seeds = stored(storage, "rates"), stored(storage, "seeds")
    assert (rates.study, rates.phase, rates.rule, seeds.rule) == ("mine", "rates", "paper", None)
    assert {choice.cell.model: choice.lr for choice in rates.choices} == CHOSEN
    (low, high) = rates.choices[0].rates
    assert (low.median, high.median) == (0.6, 0.9)
    assert [run.seed for run in high.runs] == [1, 2]
    assert {run.point_id for run in high.runs} <= {entry.point_id for entry in rates.points}
    assert {(e.point.model, e.point.lr) for e in rates.points if e.reported} == set(CHOSEN.items())
    assert sum(entry.reported for entry in rates.points) == 4
    assert len(seeds.points) == 8
    assert all(entry.reported for entry in seeds.points)


def test_an_undecided_cell_holds_back_its_own_points_only_and_is_named(
    bars: Path, storage: Storage, runner: Runner
):
    runner.fails = lambda point: (point.model, point.lr, point.seed) == ("xu", 0.01, 2)
    summary = run_phases(opened(bars), storage, runner, RunOptions())
    assert {point.model for point in runner.ran[1]} == {"standard"}
    assert not summary.is_complete
    assert summary.held == 4
    (choice,) = summary.undecided.values()
    assert (choice.cell.model, choice.undecided) == ("xu", "lr=0.01 seed=2 missing")
    assert [e.reported for e in stored(storage, "rates").points if e.point.model == "xu"] == (
        [False] * 4
    )


@pytest.mark.parametrize(("rule", "held"), [("paper", 4), ("robust", 0)])
def test_a_run_that_diverged_is_evidence_for_the_robust_rule_alone(
    rule: str,
    held: int,
    bars: Path,
    storage: Storage,
    runner: Runner,
):
    study = opened(bars, rule=rule)
    runner.fails = lambda point: (point.model, point.lr, point.seed) == ("xu", 0.01, 2)
    lost = next(point for point in study.study.points if runner.fails(point))
    put_failure(storage, study.spec(lost), "OSError: the disk was full")
    put_failure(
        storage, study.spec(lost), "DivergedError: A loss must be a finite number; got nan."
    )
    assert run_phases(study, storage, runner, RunOptions()).held == held


def test_another_failure_than_divergence_is_no_evidence(
    bars: Path, storage: Storage, runner: Runner
):
    study = opened(bars, rule="robust")
    runner.fails = lambda point: (point.model, point.lr, point.seed) == ("xu", 0.01, 2)
    lost = next(point for point in study.study.points if runner.fails(point))
    put_failure(
        storage, study.spec(lost), "DivergedError: A loss must be a finite number; got nan."
    )
    put_failure(storage, study.spec(lost), "OutOfMemoryError: no")
    (choice,) = run_phases(study, storage, runner, RunOptions()).undecided.values()
    assert choice.undecided == "lr=0.01 seed=2 failed"


def test_growing_a_study_runs_only_the_new_points(bars: Path, storage: Storage, runner: Runner):
    run_phases(opened(bars), storage, runner, RunOptions())
    run_phases(opened(bars, last=5), storage, runner, RunOptions())
    assert [(p.model, p.seed) for p in runner.ran[2]] == [("xu", 5), ("standard", 5)]
    assert len(stored(storage, "seeds").points) == 10


def test_only_a_part_is_run_and_asked_for(bars: Path, storage: Storage, runner: Runner):
    study = opened(bars)
    only = Only.parse(["model=xu", "seed=1,2"], study.study)
    summary = run_phases(study, storage, runner, RunOptions(), only=only)
    assert [(p.model, p.seed) for p in runner.ran[0]] == [("xu", 1), ("xu", 2)] * 2
    assert len(runner.ran) == 1  # the second phase's seeds 1 and 2 were run in the first
    assert summary.is_complete
    assert len(stored(storage, "rates").points) == 8


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model", "--only must be AXIS=VALUE,VALUE; got 'model'"),
        ("modle=xu", "No axis is called 'modle'. Did you mean 'model'"),
        ("model=stadnard", "must be a value that the study has; .*Did you mean 'standard'"),
        ("seed=77", "--only seed must be a value that the study has; got '77'"),
        ("lr=fast", "--only lr must be a value"),
    ],
)
def test_a_slip_in_only_is_named_with_what_would_do(word: str, message: str, bars: Path):
    with pytest.raises(TuneJobsError, match=message):
        Only.parse([word], opened(bars).study)


def test_a_rate_is_found_however_it_is_written(bars: Path):
    study = opened(bars).study
    only = Only.parse(["lr=1e-2"], study)
    assert {point.lr for point in study.points if only.keeps(point)} == {0.01}


def test_a_run_stops_after_so_many_points_and_goes_on_with_the_others(
    bars: Path, storage: Storage, runner: Runner
):
    summary = run_phases(opened(bars), storage, runner, RunOptions(stop_after_points=3))
    assert [len(points) for points in runner.ran] == [3]
    assert not summary.is_complete
    run_phases(opened(bars), storage, runner, RunOptions(stop_after_points=7))
    assert [len(points) for points in runner.ran] == [3, 5, 2]


def test_after_an_interruption_no_other_phase_is_begun(
    bars: Path, storage: Storage, runner: Runner
):
    runner.stops = True
    assert run_phases(opened(bars), storage, runner, RunOptions()).interrupted
    assert len(runner.ran) == 1


def test_nothing_runs_when_the_time_is_up(bars: Path, storage: Storage, runner: Runner):
    summary = run_phases(opened(bars), storage, runner, RunOptions(stop_after_seconds=0))
    assert runner.ran == []
    assert not summary.interrupted
    assert not summary.is_complete


def test_a_missing_dataset_is_refused_before_anything_runs_unless_it_is_not_asked_for(
    bars: Path, storage: Storage, runner: Runner
):
    study = opened(bars, dataset=[str(bars), LOST])
    with pytest.raises(StirError, match=LOST):
        run_phases(study, storage, runner, RunOptions())
    assert runner.ran == []
    assert not list(storage.list(""))
    only = Only.parse(["dataset=bars"], study.study)
    assert run_phases(study, storage, runner, RunOptions(), only=only).is_complete


def test_what_was_stored_of_a_dataset_that_has_left_is_kept(
    bars: Path, tmp_path: Path, storage: Storage, runner: Runner
):
    run_phases(opened(bars), storage, runner, RunOptions())
    before = stored(storage, "rates")
    (rates, _) = (gone := opened(tmp_path / "bars.npz", dataset="bars.npz")).study.phases
    gone.missing["bars"] = gone.missing.pop("bars.npz")  # pyright: ignore
    runs = read_runs(gone, storage, rates, (), take_inventory(storage))
    store_phase(gone, storage, runs, choices_of(runs))
    assert stored(storage, "rates") == before


def test_a_study_object_is_not_written_again_unless_it_changes(
    bars: Path, storage: Storage, runner: Runner
):
    run_phases(opened(bars), storage, runner, RunOptions())
    before = {item.key: item.modified for item in storage.list("studies")}
    run_phases(opened(bars), storage, runner, RunOptions())
    assert {item.key: item.modified for item in storage.list("studies")} == before


def test_records_that_a_stored_phase_has_as_evidence_are_not_read_again(
    bars: Path, storage: Storage, runner: Runner
):
    run_phases(opened(bars), storage, runner, RunOptions())
    read: list[str] = []

    class Counted(Storage):
        def read_many(self, keys: Iterable[str]):
            wanted = list(keys)
            read.extend(wanted)
            return super().read_many(wanted)

    counted = Counted(storage.uri)
    before = stored(storage, "rates")
    run_phases(opened(bars), counted, runner, RunOptions())
    assert read == []
    [first, *_] = before.points
    key = f"records/{first.point_id}.json"
    storage.write(key, storage.read(key))  # it may hold something else now
    run_phases(opened(bars), counted, runner, RunOptions())
    assert read == [key]
    assert stored(storage, "rates") == before


def test_a_damaged_study_object_or_record_is_named(bars: Path, storage: Storage, runner: Runner):
    run_phases(opened(bars), storage, runner, RunOptions())
    key = f"records/{stored(storage, 'rates').points[0].point_id}.json"
    whole = storage.read(key)
    storage.write(key, whole[:100])
    with pytest.raises(RecordError, match=key):
        run_phases(opened(bars), storage, runner, RunOptions())
    storage.write(key, whole)
    storage.write("studies/mine/rates.json", b"{}")
    with pytest.raises(RecordError, match=r"studies/mine/rates.json: .*Remove it"):
        run_phases(opened(bars), storage, runner, RunOptions())


@pytest.mark.ray
def test_a_study_in_phases_on_a_real_ray_exits_1_for_the_cell_that_it_names(
    bars: Path, tmp_path: Path
):
    path, storage = tmp_path / "two.yaml", tmp_path / "runs"
    path.write_text(
        f"""
name: two
axes: {{model: [standard, xu], dataset: {bars}, scenario: 2, kernel_size: 3, interpolation: null}}
recipe: {{max_epochs: 1}}
phases:
  - name: rates
    select: paper
    groups:
      - {{model: standard, lr: [3e-3, 1e-3], seed: 1}}
      - {{model: xu, lr: [1e30, 1e-3], seed: 1}}
  - {{name: seeds, axes: {{lr: chosen, seed: [1, 2]}}}}
"""
    )
    words = ("run", str(path), "--storage", str(storage), "--max-concurrent", "2")
    done = subprocess.run(
        [sys.executable, "-m", "tune_jobs", *words], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 1, done.stderr
    assert "phase rates: a learning rate is chosen for 1 of 2 cells" in done.stdout
    assert "study two: 4 finished, 1 failed, 2 waiting for a learning rate" in done.stdout
    assert "xu bars s2 is undecided: lr=1e+30 seed=1 diverged" in done.stderr
    seeds = StudyRecord.from_json(Storage(storage).read("studies/two/seeds.json"))
    assert [(entry.point.model, entry.point.seed) for entry in seeds.points] == [
        ("standard", 1),
        ("standard", 2),
    ]


@pytest.mark.ray
def test_a_run_ends_after_the_time_it_is_given_and_exits_1(bars: Path, tmp_path: Path):
    path, storage = tmp_path / "long.yaml", tmp_path / "runs"
    path.write_text(
        f"""
name: long
axes: {{model: standard, dataset: {bars}, scenario: 4, kernel_size: 7, interpolation: null,
        lr: 1e-3, seed: 1}}
recipe: {{max_epochs: 1000, patience: 1000, batch_size: 1}}
"""
    )
    words = ("run", str(path), "--storage", str(storage), "--stop-after", "0.0003h")
    done = subprocess.run(
        [sys.executable, "-m", "tune_jobs", *words], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 1, done.stderr
    assert "study long: 1 to do" in done.stdout.splitlines()[-1]
    assert len(list(storage.glob("claims/*"))) == 0
