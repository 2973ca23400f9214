import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.figures.learning import learning_curves


def epochs_of(**accuracies: list[float]) -> pd.DataFrame:
    """Trials of one model on emoji, scenario 2, with their validation accuracies."""
    return pd.DataFrame(
        [
            {
                "point_id": trial,
                "model": "standard",
                "dataset": "emoji",
                "scenario": 2,
                "epoch": epoch,
                "valid_accuracy": accuracy,
            }
            for trial, values in accuracies.items()
            for epoch, accuracy in enumerate(values, start=1)
        ]
    )


def test_trials_without_epochs_are_counted():
    epochs = epochs_of(a=[0.2, 0.4])
    unknown = epochs.head(1).assign(epoch=float("nan"), valid_accuracy=float("nan"))
    figure = learning_curves(pd.concat([epochs, unknown.assign(point_id="b")]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 run without epochs"]
    assert figure.axes[0].get_title(loc="right") == "1 seed"
    with pytest.raises(AnalysisError, match="None of 1 trial has epochs"):
        learning_curves(unknown)


def test_the_line_is_the_mean_and_ends_where_half_of_the_seeds_have_stopped():
    figure = learning_curves(
        epochs_of(a=[0.2, 0.4, 0.6, 0.8], b=[0.4, 0.6, 0.8], c=[0.6, 0.8], d=[0.8, 0.9])
    )
    [line] = figure.axes[0].lines
    assert list(line.get_xdata()) == [1, 2]
    assert list(line.get_ydata()) == pytest.approx([0.5, 0.675])
    assert figure.axes[0].get_title(loc="right") == "4 seeds"
