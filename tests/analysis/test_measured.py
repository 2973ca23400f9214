from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import AnalysisError, measured
from analysis.collect import collect
from analysis.figures.gallery import drawn
from analysis.frames import Frames
from analysis.published import import_mlflow

EXPORT = Path(__file__).parent.parent / "golden" / "mlflow-emoji-2.csv.gz"
FIGURES = ["equivariance", "correlation", "pooling", "index-maps"]


@pytest.fixture
def frames_of(tmp_path, put):
    """The frames of some records and their evaluations."""

    def frames_of(*things) -> Frames:
        put(tmp_path / "runs", *things)
        collect([str(tmp_path / "runs")], str(tmp_path / "results"))
        return Frames(str(tmp_path / "results"))

    return frames_of


def test_errors_are_means_over_objects_beside_the_trials_cell(
    frames_of, make_record, make_evaluation
):
    record = make_record(correct=9)
    evaluation = make_evaluation(record)
    evaluation.equivariance[1, :, :, 0] = [[0.1, 0.3], [np.nan, 0.2], [0.1, 0.3]]
    errors = measured.errors(frames_of(record, evaluation))
    assert len(errors) == 2 * 6
    [row] = errors.query("stage == 2 and scale == 64").to_dict("records")
    assert row["error"] == pytest.approx(0.2)
    assert (row["defined"], row["objects"]) == (5, 6)
    assert (row["model"], row["test_accuracy"]) == ("standard", 0.25)


def test_only_reported_trials_are_in_errors(frames_of, make_record, make_evaluation):
    fast, slow = make_record(lr=1e-2, valid_accuracy=0.5), make_record(lr=1e-3)
    errors = measured.errors(frames_of(fast, slow, make_evaluation(fast), make_evaluation(slow)))
    assert set(errors["point_id"]) == {slow.point_id}


def test_correlations_are_means_over_the_objects_that_have_one(
    frames_of, make_record, make_evaluation
):
    record = make_record(model="slice_pool", interpolation="bicubic")
    evaluation = make_evaluation(record)
    evaluation.pool_scales[0][1, 0, 0] = 9.0  # constant
    evaluation.pool_scales[0][1, 1, 0] *= -1
    evaluation.pool_scales[0][1, 1, 0] += 99  # follows the object at r = -1
    evaluation.pool_scales[1][2] = 7.0
    found = measured.correlations(frames_of(record, evaluation)).set_index(["stage", "channel"])
    assert found["r"].to_dict() == pytest.approx(
        {(1, 0): 1, (1, 1): 3 / 5, (2, 0): 1, (2, 1): 1, (2, 2): np.nan}, nan_ok=True
    )
    assert found["constant"].tolist() == [0, 1, 0, 0, 6]


def test_the_closest_look_is_at_the_best_run_of_slice_pool_on_mid2rest(
    frames_of, make_record, make_evaluation
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
    look = measured.look(frames_of(*records, *map(make_evaluation, records)), "pool_scales")
    assert look.words.startswith("Slice Pool on Emoji, Mid2Rest, seed 2 (test accuracy 50.0 %)")
    assert look.words.endswith("stage 2, class 0, instance 0")
    assert len(look.rows) == 3 * 48
    assert set(look.rows["point_id"]) == {records[1].point_id}


def test_every_figure_of_evaluations_is_drawn(frames_of, make_record, make_evaluation, make_maps):
    record = make_record(model="pixel_pool", interpolation="bicubic")
    frames = frames_of(record, make_evaluation(record), make_maps(record))
    figures = dict(drawn(frames, FIGURES))
    assert {name for name, figure in figures.items() if isinstance(figure, Figure)} == set(FIGURES)
    maps = figures["index-maps"].axes
    assert [int(axes.images[0].get_array().max()) for axes in maps[:4]] == [7, 9, 7, 9]


@pytest.mark.parametrize("name", FIGURES)
def test_published_results_say_that_they_hold_no_weights(name, tmp_path):
    import_mlflow(str(EXPORT), str(tmp_path))
    [(_, error)] = drawn(Frames(str(tmp_path)), [name])
    assert isinstance(error, AnalysisError)
    assert "published ones hold no weights" in str(error)
    assert "tune-jobs evaluate --storage STORAGE" in str(error)


def test_an_evaluation_of_a_point_without_a_record_is_in_no_figure(
    frames_of, make_record, make_evaluation
):
    record = make_record()
    stray = replace(make_evaluation(record), point_id="0" * 12)
    errors = measured.errors(frames_of(record, make_evaluation(record), stray))
    assert set(errors["point_id"]) == {record.point_id}
