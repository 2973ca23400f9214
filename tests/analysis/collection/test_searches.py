from dataclasses import replace
from pathlib import Path

import pytest

from analysis import load
from analysis.collection.collect import collect
from analysis.results.cells import eligible
from analysis.results.query import query
from tune_jobs.point import GridPoint, Recipe
from tune_jobs.records.keys import outcome_key, samples_key
from tune_jobs.records.search import Sample, SearchOutcome, samples_to_lines
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage

RANKING = "select sample, status, best_valid_accuracy from searches order by 3 desc nulls last, 1"


def sample(number: int, *, lr: float = 0.01, point_id: str | None = None) -> Sample:
    point = GridPoint(
        model="standard",
        dataset="emoji",
        scenario=2,
        kernel_size=7,
        interpolation=None,
        lr=lr,
        seed=1,
    )
    return Sample(
        study="wide",
        number=number,
        point_id=point_id or f"{number:012}",
        drawn={"lr": lr},
        point=point,
        recipe=Recipe(batch_size=8),
    )


def outcome(
    of: Sample, status: str, *accuracies: float, test_accuracy: float | None = None
) -> SearchOutcome:
    return SearchOutcome(
        study=of.study,
        point_id=of.point_id,
        status=TrialState(status),
        reason="" if status == "finished" else "because",
        valid_accuracies=accuracies,
        test_accuracy=test_accuracy,
        ended_at="2026-11-23T00:00:00.000+00:00",
    )


@pytest.fixture
def runs(tmp_path: Path) -> Storage:
    """A search of four samples: finished, stopped, diverged and not run yet."""
    storage = Storage(tmp_path / "runs")
    samples = [sample(number, lr=number / 100) for number in (1, 2, 3, 4)]
    storage.write(samples_key("wide"), samples_to_lines(samples))
    for end in (
        outcome(samples[0], "finished", 0.5, 0.75, 0.75, test_accuracy=0.6),
        outcome(samples[1], "stopped", 0.25, 0.125),
        outcome(samples[2], "diverged"),
    ):
        storage.write(outcome_key("wide", end.point_id), end.to_json())
    return storage


def test_query_ranks_the_trials_of_a_search_with_those_that_were_stopped(
    runs: Storage, tmp_path: Path
):
    collect([runs.uri], str(tmp_path / "results"))
    answer = query(RANKING, str(tmp_path / "results")).to_pylist()
    assert [tuple(row.values()) for row in answer] == [
        (1, "finished", 0.75),
        (2, "stopped", 0.25),
        (3, "diverged", None),
        (4, "to do", None),
    ]


def test_a_row_holds_what_was_drawn_and_what_was_measured(runs: Storage, tmp_path: Path):
    collect([runs.uri], str(tmp_path / "results"))
    rows = load("searches", str(tmp_path / "results")).set_index("sample")
    assert (rows.lr[1], rows.batch_size[1], rows.test_accuracy[1]) == (0.01, 8, 0.6)
    assert (rows.epochs[1], rows.best_epoch[1]) == (3, 2)
    assert (rows.epochs[2], rows.best_epoch[2], rows.reason[2]) == (2, 1, "because")
    assert rows.epochs[3] == 0


def test_what_goes_on_in_a_search_replaces_what_was_collected(runs: Storage, tmp_path: Path):
    results = str(tmp_path / "results")
    collect([runs.uri], results)
    end = outcome(sample(4), "finished", 1.0)
    runs.write(outcome_key("wide", end.point_id), end.to_json())
    collect([runs.uri], results)
    assert load("searches", results).status.tolist() == [
        "finished",
        "stopped",
        "diverged",
        "finished",
    ]


@pytest.mark.parametrize("when", ["yesterday", "2026-11-23T00:00:00", "2026-13-01T00:00:00Z"])
def test_an_outcome_at_no_time_is_named_and_the_others_are_collected(
    when: str, runs: Storage, tmp_path: Path
):
    end = replace(outcome(sample(4), "finished", 1.0), ended_at=when)
    runs.write(outcome_key("wide", end.point_id), end.to_json())
    found = collect([runs.uri], str(tmp_path / "results"))
    [sentence] = found.damaged
    assert sentence.startswith(f"{runs.uri}/{outcome_key('wide', end.point_id)}: ended_at: A time")
    answer = query(RANKING, str(tmp_path / "results")).to_pylist()
    assert [row["status"] for row in answer] == ["finished", "stopped", "diverged", "to do"]


def test_samples_that_fit_no_table_are_named_and_other_searches_collected(
    runs: Storage, tmp_path: Path
):
    huge = sample(1)
    huge = replace(huge, study="huge", point=replace(huge.point, seed=2**70))
    runs.write(samples_key("huge"), samples_to_lines([huge]))
    found = collect([runs.uri], str(tmp_path / "results"))
    [sentence] = found.damaged
    assert sentence.startswith(f"{runs.uri}/{samples_key('huge')}: A record's values must fit")
    assert len(load("searches", str(tmp_path / "results"))) == 4


def test_samples_with_equal_points_share_an_outcome(tmp_path: Path):
    storage, twins = Storage(tmp_path / "runs"), [sample(1), sample(2, point_id=f"{1:012}")]
    storage.write(samples_key("wide"), samples_to_lines(twins))
    end = outcome(twins[0], "finished", 0.5)
    storage.write(outcome_key("wide", end.point_id), end.to_json())
    collect([storage.uri], str(tmp_path / "results"))
    assert load("searches", str(tmp_path / "results")).status.tolist() == ["finished"] * 2
    assert len(load("study_points", str(tmp_path / "results"))) == 1


def test_the_points_of_a_search_alone_are_in_no_mean(tmp_path: Path, make_record, put):
    inside, outside = make_record(seed=1), make_record(seed=2)
    put(tmp_path / "runs", inside, outside)
    lines = samples_to_lines([sample(1, point_id=inside.point_id)])
    Storage(tmp_path / "runs").write(samples_key("wide"), lines)
    results = str(tmp_path / "results")
    collect([str(tmp_path / "runs")], results)
    kept = eligible(load("trials", results), load("study_points", results))
    assert kept.point_id.tolist() == [outside.point_id]


def test_a_damaged_outcome_is_named_and_its_sample_is_to_do(runs: Storage, tmp_path: Path):
    runs.write(outcome_key("wide", f"{1:012}"), b"{}")
    found = collect([runs.uri], str(tmp_path / "results"))
    assert [line.split(": ")[0] for line in found.damaged] == [
        f"{runs.uri}/searches/wide/outcomes/000000000001.json"
    ]
    assert load("searches", str(tmp_path / "results")).status[0] == "to do"


def test_a_copied_search_is_named_and_the_first_collected(runs: Storage, tmp_path: Path):
    runs.write(samples_key("wide-old"), runs.read(samples_key("wide")))
    found = collect([runs.uri], str(tmp_path / "results"))
    assert "searches/wide-old/samples.jsonl: An object must lie" in found.damaged[0]
    assert set(load("searches", str(tmp_path / "results")).study) == {"wide"}


def test_what_was_collected_of_a_search_outlives_its_damage(runs: Storage, tmp_path: Path):
    results = str(tmp_path / "results")
    collect([runs.uri], results)
    runs.write(samples_key("wide"), b"{}")
    collect([runs.uri], results)
    assert len(load("searches", results)) == len(load("study_points", results)) == 4


def test_damaged_samples_are_named_and_the_search_is_left_out(runs: Storage, tmp_path: Path):
    runs.write(samples_key("wide"), runs.read(samples_key("wide"))[:-10])
    found = collect([runs.uri], str(tmp_path / "results"))
    assert len(found.damaged) == 1
    assert "searches/wide/samples.jsonl: A record must be JSON" in found.damaged[0]
    assert load("searches", str(tmp_path / "results")).empty
