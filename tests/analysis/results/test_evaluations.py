import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import AnalysisError
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.figures.gallery import draw_figures
from analysis.results import evaluations as measured
from analysis.results.folder import ResultsFolder
from stir.scenarios import SCENARIOS

EXPORT = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"
FIGURES = ["equivariance", "correlation", "pooling", "index-maps"]


@pytest.fixture
def folder_of(tmp_path, put):
    """The folder of some records and their evaluations."""

    def folder_of(*things) -> ResultsFolder:
        put(tmp_path / "runs", *things)
        collect([str(tmp_path / "runs")], str(tmp_path / "results"))
        return ResultsFolder(str(tmp_path / "results"))

    return folder_of


def pairs_of(scenario: int, **columns: object) -> pd.DataFrame:
    """Errors of one trial by scale pair."""
    pairs = [(64, 49), (49, 64), (48, 33), (33, 48), (32, 17), (17, 32)]
    frame = pd.DataFrame(pairs, columns=["scale", "other_scale"])
    return frame.assign(**({"point_id": "a", "scenario": scenario} | columns))


@pytest.mark.parametrize("scenario", [1, 2, 3])
def test_unseen_pairs_hold_no_scale_that_was_trained_on(scenario):
    trained = set(SCENARIOS[scenario].train_scales)
    assert len(measured.UNSEEN[scenario]) == 4
    assert all(trained.isdisjoint(pair) for pair in measured.UNSEEN[scenario])


def test_each_scenario_takes_its_own_pairs():
    kept = {scenario: measured.unseen(pairs_of(scenario)) for scenario in SCENARIOS}
    assert {scenario: len(rows) for scenario, rows in kept.items()} == {1: 4, 2: 4, 3: 4, 4: 6}
    assert (64, 49) not in set(zip(kept[3]["scale"], kept[3]["other_scale"], strict=True))


def test_every_object_weighs_the_same_where_some_have_no_error():
    pairs = pairs_of(2, error=[1.0, 0, 0, 0, 0, math.nan], defined=[1, 4, 4, 4, 4, 0], objects=4)
    [trial] = measured.by_trial(pairs).to_dict("records")
    assert (trial["error"], trial["undefined"], trial["objects"]) == (1 / 17, 7, 24)


def test_a_trials_error_is_the_mean_over_objects_and_unseen_pairs_of_stage_2(
    folder_of, make_record, make_evaluation
):
    record = make_record(correct=9)
    evaluation = make_evaluation(record, error=9.0)
    evaluation.equivariance[1, :, :, [0, 1, 4, 5]] = 0.5
    evaluation.equivariance[1, 0, 0, 0] = np.nan
    evaluation.equivariance[1, 0, 1, 0] = 0.5 + 23
    [row] = folder_of(record, evaluation).equivariance_errors.to_dict("records")
    assert row["error"] == pytest.approx(1.5)
    assert (row["undefined"], row["objects"]) == (1, 24)
    assert (row["model"], row["test_accuracy"]) == ("standard", 0.25)


def test_a_cells_summary_bounds_its_error_and_leaves_out_what_does_not_apply(
    folder_of, make_record, make_evaluation
):
    records = [make_record(seed=seed) for seed in (1, 2, 3)]
    evaluations = [
        make_evaluation(record, error=error, channels=())
        for record, error in zip(records, (0.2, 0.3, 0.7), strict=True)
    ]
    pooled = make_record(model="slice_pool", interpolation="bicubic")
    folder = folder_of(*records, *evaluations, pooled, make_evaluation(pooled))
    cells = folder.evaluated_cells.set_index("model")
    standard, slice_pool = cells.loc["standard"], cells.loc["slice_pool"]
    assert standard["error"] == pytest.approx(0.4)
    assert standard["error_low"] < 0.3 < 0.5 < standard["error_high"]
    assert math.isnan(standard["r_1"])
    assert math.isnan(standard["constant"])
    assert (slice_pool["r_1"], slice_pool["r_2"], slice_pool["constant"]) == (1, 1, 0)
    assert (slice_pool["evaluated"], slice_pool["error"]) == (1, 0.5)


def test_only_reported_trials_are_in_errors(folder_of, make_record, make_evaluation):
    fast, slow = make_record(lr=1e-2, valid_accuracy=0.5), make_record(lr=1e-3)
    errors = folder_of(fast, slow, make_evaluation(fast), make_evaluation(slow)).equivariance_errors
    assert set(errors["point_id"]) == {slow.point_id}


def test_correlations_are_means_over_the_objects_that_have_one(
    folder_of, make_record, make_evaluation
):
    record = make_record(model="slice_pool", interpolation="bicubic")
    evaluation = make_evaluation(record)
    evaluation.pool_scales[0][1, 0, 0] = 9.0  # constant
    evaluation.pool_scales[0][1, 1, 0] *= -1
    evaluation.pool_scales[0][1, 1, 0] += 99  # follows the object at r = -1
    evaluation.pool_scales[1][2] = 7.0
    found = folder_of(record, evaluation).pool_correlations.set_index(["stage", "channel"])
    assert found["r"].to_dict() == pytest.approx(
        {(1, 0): 1, (1, 1): 3 / 5, (2, 0): 1, (2, 1): 1, (2, 2): np.nan}, nan_ok=True
    )
    assert found["constant"].tolist() == [0, 1, 0, 0, 6]


def test_the_closest_look_is_at_the_best_run_of_slice_pool_on_mid2rest(
    folder_of, make_record, make_evaluation
):
    records = [
        make_record(model=model, interpolation="bicubic", scenario=scenario, seed=seed, correct=n)
        for model, scenario, seed, n in [
            ("slice_pool", 2, 1, 9),
            ("slice_pool", 2, 2, 18),
            ("slice_pool", 1, 3, 36),
            ("pixel_pool", 2, 1, 36),
        ]
    ]
    look = folder_of(*records, *map(make_evaluation, records)).close_up("pool_scales")
    assert look.title.startswith("Slice Pool on Emoji, Mid2Rest, seed 2 (test accuracy 50.0 %)")
    assert look.title.endswith("stage 2, class 0, instance 0")
    assert len(look.rows) == 3 * 48
    assert set(look.rows["point_id"]) == {records[1].point_id}


def test_every_figure_of_evaluations_is_drawn(folder_of, make_record, make_evaluation, make_maps):
    record = make_record(model="pixel_pool", interpolation="bicubic")
    folder = folder_of(record, make_evaluation(record), make_maps(record))
    figures = dict(draw_figures(folder, FIGURES))
    assert {name for name, figure in figures.items() if isinstance(figure, Figure)} == set(FIGURES)
    maps = figures["index-maps"].axes
    assert [int(axes.images[0].get_array().max()) for axes in maps[:4]] == [7, 9, 7, 9]


@pytest.mark.parametrize("name", FIGURES)
def test_published_results_say_that_they_hold_no_weights(name, tmp_path):
    import_mlflow(str(EXPORT), str(tmp_path))
    [(_, error)] = draw_figures(ResultsFolder(str(tmp_path)), [name])
    assert isinstance(error, AnalysisError)
    assert "published ones hold no weights" in str(error)
    assert "tune-jobs evaluate --storage STORAGE" in str(error)


def test_an_evaluation_of_a_point_without_a_record_is_in_no_figure(
    folder_of, make_record, make_evaluation
):
    record = make_record()
    stray = replace(make_evaluation(record), point_id="0" * 12)
    errors = folder_of(record, make_evaluation(record), stray).equivariance_errors
    assert set(errors["point_id"]) == {record.point_id}
