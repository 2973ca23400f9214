import pandas as pd
import pytest

from analysis.figures.time import epoch_time


def trials_of(*rows: tuple[str, str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["model", "dataset", "scenario", "train_seconds"])


def test_a_mark_stands_at_the_mean_time_of_scenario_2():
    figure = epoch_time(
        trials_of(
            ("standard", "emoji", 2, 1.0),
            ("standard", "emoji", 2, 3.0),
            ("standard", "emoji", 1, 9),
        )
    )
    [mark] = figure.axes[0].lines
    assert list(mark.get_xdata()) == pytest.approx([2.0])
    assert figure.axes[0].texts[0].get_text().strip() == "2 s"
    assert figure.axes[0].get_title(loc="right") == "2 seeds"


def test_a_model_without_runs_on_a_dataset_says_so():
    figure = epoch_time(trials_of(("standard", "emoji", 2, 1.0), ("xu", "mnist", 2, 3.0)))
    assert [text.get_text() for text in figure.axes[0].texts] == ["   1 s", "no runs"]


def test_without_scenario_2_the_first_one_is_shown():
    figure = epoch_time(trials_of(("standard", "emoji", 3, 1.0), ("standard", "emoji", 4, 2.0)))
    assert figure.axes[0].get_title(loc="left") == "Emoji, Large2Small"
