from pathlib import Path

import pytest

from analysis import load
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.results.cells import eligible, in_order, labelled, rate_choices, reported
from analysis.results.folder import ResultsFolder
from analysis.tables import schemas

EXPORT = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"
NO_STUDIES = schemas.SCHEMAS["study_points"].empty_table().to_pandas()


@pytest.fixture
def trials_of(tmp_path, put):
    """The trials table that some records give."""

    def trials_of(*records):
        put(tmp_path / "runs", *records)
        collect([str(tmp_path / "runs")], str(tmp_path / "results"))
        return load("trials", str(tmp_path / "results"))

    return trials_of


def test_of_a_cell_run_at_two_learning_rates_one_is_reported(trials_of, make_record):
    trials = trials_of(
        *(make_record(seed=s, lr=1e-2, valid_accuracy=0.7, correct=30) for s in (1, 2)),
        *(make_record(seed=s, lr=1e-3, valid_accuracy=0.8, correct=9) for s in (1, 2, 3)),
    )
    kept = reported(trials, NO_STUDIES)
    assert set(kept["lr"]) == {1e-3}
    assert kept["test_accuracy"].mean() == 0.25


def test_the_test_accuracy_plays_no_part_in_the_choice(trials_of, make_record):
    trials = trials_of(
        make_record(lr=1e-2, valid_accuracy=0.7, correct=36),
        make_record(lr=1e-3, valid_accuracy=0.8, correct=1),
    )
    assert [choice.lr for choice in rate_choices(trials)] == [1e-3]


def test_only_seeds_that_both_rates_have_are_compared(trials_of, make_record):
    """The lucky seeds 3 and 4 of the smaller rate must not decide."""
    trials = trials_of(
        *(make_record(seed=s, lr=1e-2, valid_accuracy=0.7) for s in (1, 2)),
        *(make_record(seed=s, lr=1e-3, valid_accuracy=0.6) for s in (1, 2)),
        *(make_record(seed=s, lr=1e-3, valid_accuracy=0.99) for s in (3, 4, 5)),
    )
    [choice] = rate_choices(trials)
    assert (choice.lr, choice.shared_seeds) == (1e-2, 2)
    assert choice.medians == pytest.approx({1e-3: 0.6, 1e-2: 0.7})


def test_a_tie_goes_to_the_smaller_rate(trials_of, make_record):
    trials = trials_of(make_record(lr=1e-2), make_record(lr=1e-3))
    assert set(reported(trials, NO_STUDIES)["lr"]) == {1e-3}


def test_what_a_study_chose_stands_against_the_larger_median(trials_of, make_record):
    """A study's robust rule may take the rate with the smaller median."""
    fast = make_record(lr=1e-2, valid_accuracy=0.9)
    slow = make_record(lr=1e-3, valid_accuracy=0.8)
    trials = trials_of(fast, slow)
    study = NO_STUDIES.reindex(range(2)).assign(
        point_id=[fast.point_id, slow.point_id], reported=[False, True]
    )
    assert list(reported(trials, study)["lr"]) == [1e-3]


def test_a_stray_run_at_another_rate_does_not_overrule_a_study(trials_of, make_record):
    chosen = [make_record(seed=s, lr=1e-3, valid_accuracy=0.8) for s in (1, 2)]
    stray = make_record(seed=1, lr=1e-2, valid_accuracy=0.99)
    more = make_record(seed=3, lr=1e-3)
    trials = trials_of(*chosen, stray, more)
    study = NO_STUDIES.reindex(range(2)).assign(
        point_id=[record.point_id for record in chosen], reported=True
    )
    kept = reported(trials, study)
    assert sorted(kept["seed"]) == [1, 2, 3]
    assert set(kept["lr"]) == {1e-3}
    assert rate_choices(eligible(trials, study)) == []


def test_a_study_of_one_cell_says_nothing_of_another(trials_of, make_record):
    here, there = make_record(lr=1e-3), make_record(lr=1e-2, dataset="mnist")
    study = NO_STUDIES.reindex(range(1)).assign(point_id=here.point_id, reported=True)
    assert len(reported(trials_of(here, there), study)) == 2


def test_a_point_that_a_later_phase_reports_is_reported(trials_of, make_record):
    record = make_record()
    study = NO_STUDIES.reindex(range(2)).assign(point_id=record.point_id, reported=[False, True])
    assert len(reported(trials_of(record), study)) == 1


def test_failed_points_are_not_reported(trials_of, make_record, make_failure):
    trials = trials_of(make_record(seed=1), make_failure(seed=2))
    assert list(reported(trials, NO_STUDIES)["seed"]) == [1]


def test_kernel_sizes_are_never_averaged(trials_of, make_record):
    trials = trials_of(make_record(kernel_size=7), make_record(kernel_size=11))
    assert sorted(labelled(trials)["model"]) == ["standard k=11", "standard k=7"]


def test_a_model_run_in_one_way_keeps_its_name(trials_of, make_record):
    trials = trials_of(make_record(), make_record(model="pixel_pool", interpolation="area"))
    assert sorted(labelled(trials)["model"]) == ["pixel_pool", "standard"]


def test_published_trials_beside_ours_are_models_of_their_own(trials_of, make_record):
    trials = trials_of(make_record(seed=1), make_record(seed=2))
    trials["source"] = ["ours", "published"]
    assert sorted(labelled(trials)["model"]) == ["standard", "standard published"]


def test_two_contents_under_one_dataset_name_are_told_apart(trials_of, make_record):
    trials = trials_of(make_record(seed=1), make_record(seed=2), make_record(dataset="mnist"))
    trials["dataset_fingerprint"] = [
        "abc" * 9 if dataset == "emoji" and seed == 2 else "def" * 9
        for dataset, seed in zip(trials["dataset"], trials["seed"], strict=True)
    ]
    names = labelled(trials).set_index(["dataset", "seed"])["model"].to_dict()
    assert names == {
        ("emoji", 1): "standard data defdef",
        ("emoji", 2): "standard data abcabc",
        ("mnist", 1): "standard",
    }


def test_cells_stand_by_dataset_scenario_and_model(trials_of, make_record):
    trials = trials_of(
        make_record(dataset="mnist"),
        make_record(dataset="emoji", scenario=2, model="disco"),
        make_record(dataset="emoji", scenario=2, model="standard"),
        make_record(dataset="emoji", scenario=1),
    )
    rows = in_order(trials)[["dataset", "scenario", "model"]]
    assert rows.to_numpy().tolist() == [
        ["emoji", 1, "standard"],
        ["emoji", 2, "standard"],
        ["emoji", 2, "disco"],
        ["mnist", 2, "standard"],
    ]


def test_failed_points_of_ours_do_not_hide_published_trials(trials_of, make_failure, tmp_path):
    trials_of(make_failure())
    import_mlflow(str(EXPORT), str(tmp_path / "results"))
    folder = ResultsFolder(str(tmp_path / "results"))
    assert set(folder.trials["source"]) == {"published"}


def test_trials_without_epochs_or_scales_keep_a_row(trials_of, make_record, tmp_path):
    trials_of(make_record(num_epochs=2))
    import_mlflow(str(EXPORT), str(tmp_path / "results"))
    folder = ResultsFolder(str(tmp_path / "results"), "both")
    assert folder.epochs.groupby("source")["epoch"].count().to_dict() == {"ours": 2, "published": 0}
    assert folder.scales["point_id"].nunique() == folder.epochs["point_id"].nunique() == 76


def test_scales_and_epochs_carry_their_trials_cell(trials_of, make_record, tmp_path):
    trials_of(make_record(seed=4, num_epochs=2), make_record(seed=5, num_epochs=3))
    folder = ResultsFolder(str(tmp_path / "results"))
    assert folder.scales.groupby("seed").size().to_dict() == {4: 48, 5: 48}
    assert folder.epochs.groupby("seed").size().to_dict() == {4: 2, 5: 3}
