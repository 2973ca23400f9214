import gzip
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.report.tables import comparison
from analysis.results.comparison import compared
from analysis.results.folder import ResultsFolder
from analysis.results.published import published_summary
from tune_jobs.point import Recipe, TrialSpec
from tune_jobs.records.keys import weights_key
from tune_jobs.records.trial import TrialRecord

EXPORT = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"


@pytest.fixture
def folder_of(tmp_path, put):
    """The results folder of some records, published runs beside them if asked for."""

    def folder_of(*records, published: bool = False) -> ResultsFolder:
        put(tmp_path / "runs", *records)
        collect([str(tmp_path / "runs")], str(tmp_path / "results"))
        if published:
            import_mlflow(str(EXPORT), str(tmp_path / "results"))
        return ResultsFolder(str(tmp_path / "results"))

    return folder_of


def compared_in(folder: ResultsFolder, **options: float) -> pd.DataFrame:
    return compared(folder.all_trials, folder.study_points, folder.published_cells, **options)


def published_scores() -> dict[int, float]:
    """The published test accuracies of standard on emoji, scenario 2, by seed."""
    head, *rows = gzip.decompress(EXPORT.read_bytes()).decode().splitlines()
    names = head.split(",")
    fields = [dict(zip(names, row.split(","), strict=True)) for row in rows]
    return {
        int(row["params.seed"]): float(row["metrics.test_acc"]) / 100
        for row in fields
        if row["params.model"] == "standard"
    }


def spec_of(record: TrialRecord) -> TrialSpec:
    return TrialSpec(
        point=record.point,
        recipe=record.recipe,
        model_version=record.model_version,
        dataset_fingerprint=record.dataset_fingerprint,
    )


def counts(accuracy: float) -> int:
    return round(36 * accuracy)


def test_runs_like_the_published_ones_agree(folder_of, make_record):
    """Published: 50 seeds, mean 0.388, spread 0.03."""
    records = [make_record(seed=s, correct=c) for s, c in enumerate([13, 14, 14, 14, 15, 14, 14])]
    [row] = compared_in(folder_of(*records)).to_dict("records")
    assert row["published_seeds"] == 50
    assert row["published_mean"] == pytest.approx(0.38, abs=0.02)
    assert row["difference"] == pytest.approx(row["mean"] - row["published_mean"])
    assert row["low"] < row["difference"] < row["high"]
    assert (row["verdict"], row["test"]) == ("agrees", "pooled")


def test_runs_far_from_the_published_ones_differ(folder_of, make_record):
    records = [make_record(seed=s, correct=c) for s, c in enumerate([25, 26, 26, 27])]
    [row] = compared_in(folder_of(*records)).to_dict("records")
    assert row["verdict"] == "differs"


@pytest.mark.parametrize("correct", [[14, 14], [4, 14, 24]])
def test_two_runs_or_widely_spread_ones_are_too_few(correct, folder_of, make_record):
    records = [make_record(seed=s, correct=c) for s, c in enumerate(correct)]
    [row] = compared_in(folder_of(*records)).to_dict("records")
    assert row["verdict"] == "too few runs"


def test_a_wide_margin_is_agreement_and_a_narrow_one_is_not(folder_of, make_record):
    records = [make_record(seed=s, correct=c) for s, c in enumerate([14, 15, 15, 16, 15])]
    folder = folder_of(*records)
    verdicts = [compared_in(folder, margin=margin)["verdict"].item() for margin in (0.2, 0.001)]
    assert verdicts[0] == "agrees"
    assert verdicts[1] != "agrees"


def test_seeds_are_paired_only_where_they_clearly_go_together(folder_of, make_record):
    together = [make_record(seed=s, correct=counts(a)) for s, a in published_scores().items()]
    [row] = compared_in(folder_of(*together, published=True)).to_dict("records")
    assert (row["test"], row["shared_seeds"]) == ("paired", 25)
    assert row["correlation"] > 0.8
    gaps = [counts(a) / 36 - a for a in published_scores().values()]
    assert row["difference"] == pytest.approx(sum(gaps) / 25)
    assert row["high"] - row["low"] < 0.015  # Welch's interval is 0.02 wide


def test_no_run_of_ours_is_left_out_for_the_sake_of_pairs(folder_of, make_record):
    """8 seeds that the published runs have and follow closely, 12 others far below."""
    shared = list(published_scores().items())[:8]
    records = [make_record(seed=s, correct=counts(a)) for s, a in shared]
    records += [make_record(seed=s, correct=c) for s, c in enumerate([9, 10] * 6, start=900)]
    [row] = compared_in(folder_of(*records, published=True)).to_dict("records")
    assert row["correlation"] > 0.8
    assert (row["test"], row["shared_seeds"], row["seeds"]) == ("Welch", 8, 20)
    assert row["verdict"] == "differs"


@pytest.mark.parametrize("reverse", [False, True])
def test_means_and_their_difference_are_of_the_same_runs(reverse, folder_of, make_record):
    shared = list(published_scores().items())[:12]
    correct = [27 - counts(a) if reverse else counts(a) for _, a in shared]
    records = [make_record(seed=s, correct=c) for (s, _), c in zip(shared, correct, strict=True)]
    [row] = compared_in(folder_of(*records, published=True)).to_dict("records")
    assert (row["test"], row["published_seeds"]) == (("Welch", 50) if reverse else ("paired", 12))
    assert row["difference"] == pytest.approx(row["mean"] - row["published_mean"])


def test_two_contents_of_a_dataset_are_compared_each_by_itself(folder_of, make_record):
    records = [make_record(seed=s, correct=14) for s in (1, 2, 3)]
    spec = replace(spec_of(records[0]), dataset_fingerprint="beef" * 4)
    other = replace(
        make_record(seed=1, correct=30),
        point_id=spec.point_id,
        dataset_fingerprint="beef" * 4,
        weights_key=weights_key(spec.point_id, "0" * 12),
    )
    rows = compared_in(folder_of(*records, other)).set_index("model")
    assert rows["seeds"].to_dict() == {"standard data feedfe": 3, "standard data beefbe": 1}
    assert rows["mean"].to_dict() == pytest.approx(
        {"standard data feedfe": 14 / 36, "standard data beefbe": 30 / 36}
    )


def test_runs_on_the_published_file_stand_beside_the_published_cell(folder_of, make_record):
    built, file = make_record(dataset="emoji"), make_record(dataset="emoji@published")
    rows = compared_in(folder_of(built, file)).set_index("dataset")
    assert set(rows.index) == {"emoji", "emoji@published"}
    assert rows["published_mean"].nunique() == 1


def test_seeds_that_do_not_go_together_are_not_paired(folder_of, make_record):
    reverse = [make_record(seed=s, correct=27 - counts(a)) for s, a in published_scores().items()]
    [row] = compared_in(folder_of(*reverse, published=True)).to_dict("records")
    assert (row["test"], row["shared_seeds"]) == ("Welch", 25)
    assert row["correlation"] < 0


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": Recipe(max_epochs=30)},
        {"recipe": Recipe(on_divergence="stop")},
        {"kernel_size": 11},
        {"dataset": "mine"},
        {"model": "mine"},
    ],
)
def test_runs_of_another_protocol_or_cell_are_not_compared(other, folder_of, make_record):
    assert compared_in(folder_of(make_record(**other))).empty


def test_runs_that_are_not_compared_are_counted_beside_those_that_are(folder_of, make_record):
    assert "Not compared" not in comparison(folder_of(make_record(seed=1))).note
    stops = [make_record(seed=s, recipe=Recipe(on_divergence="stop")) for s in (1, 2)]
    note = comparison(folder_of(*stops)).note
    assert " Not compared: 2 finished trials of ours of another recipe" in note


def test_the_reported_learning_rate_is_the_one_compared(folder_of, make_record):
    slow = [make_record(seed=s, lr=1e-3, valid_accuracy=0.9, correct=14) for s in (1, 2, 3)]
    fast = [make_record(seed=s, lr=1e-2, valid_accuracy=0.5, correct=30) for s in (1, 2, 3)]
    [row] = compared_in(folder_of(*slow, *fast)).to_dict("records")
    assert (row["lr"], row["seeds"]) == (1e-3, 3)


def test_a_margin_of_zero_is_refused(folder_of, make_record):
    with pytest.raises(AnalysisError, match="above 0"):
        compared_in(folder_of(make_record()), margin=0)


def test_the_shipped_summary_is_what_we_compare_with(folder_of, make_record):
    cell = (
        published_summary()
        .set_index(["model", "dataset", "scenario"])
        .loc[("standard", "emoji", 2)]
    )
    [row] = compared_in(folder_of(*(make_record(seed=s) for s in (1, 2, 3)))).to_dict("records")
    assert row["published_mean"] == cell["mean"]
