"""Searches on a real Ray: ASHA stops trials, a driver is killed, the same command goes on."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import tune_jobs
from analysis.collection.collect import collect
from analysis.results.query import query
from lab.hold import Hold
from lab.processes import descendants, kill, left_of, started, wait_for
from lab.records import keys
from tune_jobs.cli import main
from tune_jobs.driver.search import SearchSource
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.records.keys import point_id_of
from tune_jobs.records.search import Sample, SearchOutcome, samples_from_lines
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.study.file import parse_study
from tune_jobs.study.study import Resources

StudyFile = Callable[..., str]
LATE_ASHA = {"grace_epochs": 3, "reduction_factor": 2}  # after the 40 batches that a hold lets pass
RANKING = """
    select sample, status, best_valid_accuracy from searches
    where study = 'wide' order by best_valid_accuracy desc, sample
"""


def run_words(study: str, storage: Path) -> list[str]:
    return ["run", study, "--storage", str(storage), "--max-concurrent", "1"]


def samples(storage: Path) -> tuple[Sample, ...]:
    return samples_from_lines(Storage(storage).read("searches/wide/samples.jsonl"))


def outcomes(storage: Path) -> dict[str, SearchOutcome]:
    found = keys(storage, "searches/wide/outcomes")
    read = [SearchOutcome.from_json(Storage(storage).read(key)) for key in found]
    return {outcome.point_id: outcome for outcome in read}


def records(storage: Path) -> dict[str, TrialRecord]:
    found = keys(storage, "records")
    read = [TrialRecord.from_json(Storage(storage).read(key)) for key in found]
    return {record.point_id: record for record in read}


def grid_of(sample: Sample, path: Path) -> str:
    """A study of the one point and recipe of a sample."""
    axes = {
        name: getattr(sample.point, name)
        for name in ("model", "scenario", "kernel_size", "interpolation", "lr", "seed")
    }
    search = yaml.safe_load((path / "wide.yaml").read_text())
    grid: dict[str, Any] = {
        "name": "grid",
        "axes": axes | {"dataset": search["axes"]["dataset"]},
        "recipe": search["recipe"],
    }
    file = path / "grid.yaml"
    file.write_text(yaml.safe_dump(grid))
    return str(file)


@pytest.mark.ray
def test_asha_stops_the_useless_rates_and_query_ranks_all_trials(
    study_file: StudyFile,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    storage, study = tmp_path / "runs", study_file()
    assert main(run_words(study, storage)) == 0
    ends, done = outcomes(storage), records(storage)
    assert set(ends) == {sample.point_id for sample in samples(storage)}
    stopped = {id for id, end in ends.items() if end.status == "stopped"}
    assert stopped
    assert set(done) == set(ends) - stopped  # a stopped trial is never a point's record
    assert capsys.readouterr().err.count("early, after epoch") == len(stopped)
    for point_id in stopped:
        assert 1 <= ends[point_id].epochs < 6
    for point_id, record in done.items():
        epochs = tuple(epoch.valid_accuracy for epoch in record.epochs)
        assert ends[point_id].valid_accuracies == epochs
    assert keys(storage, "claims", "checkpoints") == []

    collect([str(storage)], str(tmp_path / "results"))
    ranking = query(RANKING, str(tmp_path / "results")).to_pylist()
    assert len(ranking) == 6
    best = max(ends.values(), key=lambda end: end.best_valid_accuracy or 0)
    assert ranking[0]["best_valid_accuracy"] == best.best_valid_accuracy
    assert ranking[0]["status"] == "finished"

    monkeypatch.setitem(sys.modules, "ray", None)  # from here on importing it would raise
    assert main(["run", study, "--storage", str(storage)]) == 0
    counts = f"{len(done)} finished, {len(stopped)} stopped"
    assert capsys.readouterr().out.startswith(
        f"search wide: nothing is left to do\nsearch wide: {counts}\nbest validation "
    )
    finished = next(sample for sample in samples(storage) if sample.point_id in done)
    assert main(["run", grid_of(finished, tmp_path), "--storage", str(storage)]) == 0
    assert "study grid: 1 finished" in capsys.readouterr().out


@pytest.mark.ray
def test_a_search_whose_driver_is_killed_goes_on_and_draws_nothing_twice(
    study_file: StudyFile, tmp_path: Path, capsys: pytest.CaptureFixture[str], hold: Hold
):
    storage, study = tmp_path / "runs", study_file(sampler="optuna", trials=4, asha=LATE_ASHA)
    text = Path(study).read_text().replace("model: standard", "model: held")
    Path(study).write_text(f"imports: [held]\n{text}")
    hold.start(batch_seconds=0.05)  # so that not all is done before the test sees the first end
    command = [sys.executable, "-m", "tune_jobs", *run_words(study, storage)]
    with started([*command, "--checkpoint-seconds", "0.1"]) as process:
        wait_for(lambda: outcomes(storage), process)
        hold.start(batch_seconds=5)  # so that there is a trial to be killed

        def begun() -> set[str | None]:
            return {point_id_of(key) for key in keys(storage, "checkpoints")}

        wait_for(lambda: begun() - outcomes(storage).keys(), process)
        family = descendants(process.pid)
        kill(process)  # workers, too, which would end by themselves, a while later
        process.communicate()
        assert left_of(family) == []
    hold.release()
    drawn, ended = samples(storage), outcomes(storage)
    assert len(drawn) < 4

    assert main(run_words(study, storage)) == 0
    assert "resumed " in capsys.readouterr().err
    assert len(samples(storage)) == 4
    assert samples(storage)[: len(drawn)] == drawn
    later = outcomes(storage)
    assert set(later) == {sample.point_id for sample in samples(storage)}
    assert {id: later[id] for id in ended} == ended  # what had ended was not run again
    assert {id for id, end in later.items() if end.status == "finished"} == set(records(storage))
    assert keys(storage, "claims", "checkpoints") == []


def test_a_search_cannot_be_run_in_part_by_axes(
    study_file: StudyFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["run", study_file(), "--storage", str(tmp_path / "runs"), "--only", "lr=0.003"]
    assert main(words) == 2
    assert "--only must be used with a grid; wide is a search" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_search_without_its_dataset_says_so_before_it_draws(
    study_file: StudyFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["run", "search-emoji", "--storage", str(tmp_path / "runs")]
    assert main([*words, "--data", str(tmp_path / "none")]) == 2
    assert "`stir build emoji` makes it" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_without_optuna_a_search_that_needs_it_says_what_to_install(
    study_file: StudyFile,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["run", study_file(sampler="optuna"), "--storage", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert "pip install 'scale-generalization[optuna]'" in error
    assert error.count("\n") == 1
    assert list((tmp_path / "runs").rglob("*.json*")) == []


def test_a_search_is_not_run_as_if_it_had_no_points(
    opened: Callable[..., OpenedStudy], storage: Storage
):
    with pytest.raises(TuneJobsError, match="wide is a search: run_search"):
        tune_jobs.run_study(opened(), storage)


def test_trials_of_a_search_take_the_share_of_a_gpu_that_the_hungriest_model_needs(
    study_file: StudyFile, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    content = yaml.safe_load(Path(study_file()).read_text()) | {
        "resources": {"gpus": "auto", "gpu_gb": 7, "cpus": 2}
    }
    content["axes"]["model"] = {"choice": ["standard", "conv3d", "xu"]}
    content["recipe"]["batch_size"] = {"choice": [16, 4]}
    opened = open_study(parse_study(content, where="x.yaml"), None)
    taken: list[Resources] = []

    class Followed:
        stop = SimpleNamespace(asked=False)
        broken = ()
        spent = None

        def until_done(self, source: SearchSource) -> None:
            taken.extend(batch.resources for batch in source.supply(set()).batches)

    @contextmanager
    def driving(*args: object, **options: object) -> Iterator[Followed]:
        yield Followed()

    monkeypatch.setattr("tune_jobs.driver.runner.driving", driving)
    tune_jobs.run_search(opened, storage)
    # 7 GB hold three of conv3d: 0.85 GB each for CUDA, 1.1 times 1.1 GB for steps, and the images.
    assert taken == [Resources(cpus=2, gpus=0.3333, gpu_gb=7.0)]


def test_plan_counts_a_search_by_state_and_writes_nothing(
    study_file: StudyFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["plan", study_file(), "--storage", str(tmp_path / "runs"), "--max-concurrent", "2"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "search wide: 6 to do" in out
    assert "as if asha stopped none" in out
    assert not (tmp_path / "runs").exists()
    assert main([*words, "--json", "--price", "3"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["to_do"], plan["to_be_drawn"]) == (6, 0)
    assert plan["hours_left"] == pytest.approx(plan["trial_seconds_left"] / 3600 / 2)
    assert plan["money"] == pytest.approx(3 * plan["hours_left"])


def test_plan_tells_what_optuna_has_not_drawn_yet(
    study_file: StudyFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["plan", study_file(sampler="optuna"), "--storage", str(tmp_path / "runs"), "--json"]
    assert main(words) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["to_be_drawn"] == 6
    assert plan["trial_seconds_left"] > 0
