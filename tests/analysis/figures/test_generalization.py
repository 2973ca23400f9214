import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.figures import canvas
from analysis.figures.generalization import generalization
from analysis.style import MODELS


def scales_of(*rows: tuple[str, str, int, int, float]) -> pd.DataFrame:
    """A row per model, dataset, scenario, scale and accuracy."""
    return pd.DataFrame(rows, columns=["model", "dataset", "scenario", "scale", "accuracy"])


def test_the_line_is_the_mean_over_seeds():
    figure = generalization(
        scales_of(
            ("standard", "emoji", 2, 17, 0.2),
            ("standard", "emoji", 2, 17, 0.6),
            ("standard", "emoji", 2, 18, 1.0),
        )
    )
    [line] = figure.axes[0].lines
    assert list(line.get_xdata()) == [17, 18]
    assert list(line.get_ydata()) == pytest.approx([0.4, 1.0])
    assert line.get_color() == MODELS["standard"].colour


def test_the_band_is_one_standard_deviation_wide_and_stays_within_0_and_1():
    figure = generalization(
        scales_of(("standard", "emoji", 2, 17, 0.7), ("standard", "emoji", 2, 17, 1.0))
    )
    [band] = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == 1.0
    assert heights.min() == pytest.approx(0.85 - np.std([0.7, 1.0], ddof=1))


def test_training_scales_are_shaded():
    figure = generalization(scales_of(("standard", "emoji", 2, 17, 0.7)))
    [shade] = figure.axes[0].patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (32.5, 48.5)


def test_sample_sizes_are_stated():
    figure = generalization(
        scales_of(
            ("standard", "emoji", 2, 17, 0.7),
            ("standard", "emoji", 2, 17, 0.8),
            ("xu", "emoji", 2, 17, 0.8),
        )
    )
    assert figure.axes[0].get_title(loc="right") == "1 to 2 seeds"


def test_a_cell_without_runs_says_so():
    figure = generalization(
        scales_of(("standard", "emoji", 1, 17, 0.7), ("standard", "mnist", 2, 17, 0.7))
    )
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [[], ["no runs"], ["no runs"], []]


def test_an_unknown_model_is_drawn_and_named():
    figure = generalization(scales_of(("mine", "emoji", 2, 17, 0.7)))
    assert len(figure.axes[0].lines) == 1
    assert figure.legends[0].get_texts()[0].get_text() == "mine"


def test_trials_without_accuracies_by_scale_are_counted_where_they_belong():
    figure = generalization(
        scales_of(
            ("standard", "emoji", 2, 17, 0.7),
            ("standard published", "emoji", 2, np.nan, np.nan),
            ("xu published", "emoji", 2, np.nan, np.nan),
        )
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["2 runs without accuracies by scale"]
    assert len(figure.axes[0].lines) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Standard", "trained on"]


def test_without_any_accuracies_by_scale_it_says_of_how_many_trials():
    with pytest.raises(AnalysisError, match="None of 2 trials has accuracies by scale"):
        generalization(scales_of(*[("standard", "emoji", 2, np.nan, np.nan)] * 2))


def test_no_runs_at_all_is_an_error():
    with pytest.raises(AnalysisError, match="at least one finished trial"):
        generalization(scales_of())


def test_a_missing_column_is_named():
    with pytest.raises(AnalysisError, match="missing: accuracy"):
        generalization(scales_of(("standard", "emoji", 2, 17, 0.7)).drop(columns="accuracy"))


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_the_same_figure_gives_the_same_file(kind):
    frame = scales_of(("standard", "emoji", 2, 17, 0.7), ("standard", "emoji", 2, 18, 0.8))
    assert canvas.to_bytes(generalization(frame), kind) == canvas.to_bytes(
        generalization(frame), kind
    )
