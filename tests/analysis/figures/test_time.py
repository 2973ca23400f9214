import pandas as pd
import pytest

from analysis.figures.time import epoch_time


def trials_of(*rows: tuple[str, str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["model", "dataset", "scenario", "train_seconds"])


def test_a_mark_stands_at_the_mean_time_of_its_scenario():
    figure = epoch_time(
        trials_of(
            ("standard", "emoji", 2, 1.0),
            ("standard", "emoji", 2, 3.0),
            ("standard", "emoji", 1, 9),
        )
    )
    first, second = figure.axes
    assert first.get_title(loc="left") == "Emoji, Small2Large"
    [mark] = second.lines
    assert list(mark.get_xdata()) == pytest.approx([2.0])
    assert second.texts[0].get_text().strip() == "2 s"
    assert second.get_title(loc="right") == "2 seeds"


def test_a_model_without_runs_on_a_dataset_says_so():
    figure = epoch_time(trials_of(("standard", "emoji", 2, 1.0), ("xu", "mnist", 2, 3.0)))
    assert [text.get_text() for text in figure.axes[0].texts] == ["   1 s", "no runs"]


def test_every_scenario_that_was_timed_is_shown():
    figure = epoch_time(trials_of(("standard", "emoji", 3, 1.0), ("standard", "emoji", 4, 2.0)))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Emoji, Large2Small", "Emoji, All2All"]
