import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analysis import AnalysisError, style
from analysis.figures import canvas
from analysis.figures.catalogue import CAPTIONS
from analysis.figures.overview import boxes, overview
from analysis.results.published import published_summary


@pytest.fixture(scope="module")
def published():
    return overview(published_summary())


def dots(axes) -> dict[str, tuple[float, bool]]:
    """Each model's mean and whether its dot is filled."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    return {
        names[int(line.get_ydata()[0])]: (
            float(line.get_xdata()[0]),
            to_hex(line.get_markerfacecolor()) != style.PAPER,
        )
        for line in axes.lines
        if line.get_marker() == "o"
    }


MID2REST = 4  # the first panel of that scenario: a row has four datasets


def test_the_published_overview_has_nine_models_on_every_dataset_in_every_scenario(published):
    titles = [axes.get_title(loc="left") for axes in published.axes]
    assert titles[0] == "Emoji, Small2Large"
    assert titles[MID2REST] == "Emoji, Mid2Rest"
    assert titles[-1] == "Aerial, All2All"
    marks = [[line.get_marker() for line in axes.lines] for axes in published.axes]
    assert [panel.count("o") for panel in marks] == [9] * 16


def test_the_best_three_by_mean_are_filled(published):
    filled = {name for name, (_, full) in dots(published.axes[MID2REST]).items() if full}
    assert filled == {"Pixel Pool", "DISCO", "Hermite"}


def test_the_dotted_line_stands_at_the_standard_model(published):
    axes = published.axes[MID2REST]
    [line] = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert line.get_xdata()[0] == dots(axes)["Standard"][0] == pytest.approx(0.3908, abs=1e-3)


def test_collapsed_runs_are_named_where_they_lower_a_mean(published):
    words = [text.get_text().strip() for text in published.axes[12].texts]
    assert words == ["3 of 50 collapsed", "16 of 50 collapsed"]


def cells_of(*rows: tuple[str, str, int, float]) -> pd.DataFrame:
    """A row per model, dataset, number of collapsed runs and mean of one run."""
    cells = pd.DataFrame(rows, columns=["model", "dataset", "collapsed", "mean"])
    return cells.assign(scenario=2, seeds=1, failed=0, mean_low=np.nan, mean_high=np.nan)


@pytest.mark.parametrize("model", ["energy_pool", "conv3d"])
def test_results_of_models_that_are_left_out_only_say_so(model):
    with pytest.raises(AnalysisError, match="a model other than Energy Pool and Conv3D"):
        overview(cells_of((model, "emoji", 0, 0.5)))


def test_a_single_run_that_collapsed_is_named_at_its_mean():
    figure = overview(cells_of(("xu", "emoji", 1, 0.03), ("disco", "emoji", 0, 0.7)))
    [note] = figure.axes[0].texts
    assert (note.get_text().strip(), note.get_position()[0]) == ("1 of 1 collapsed", 0.03)


def test_a_model_without_runs_says_so_in_its_row():
    rows = [("xu", "emoji", 0, 0.3), ("disco", "emoji", 0, 0.7), ("disco", "mnist", 0, 0.7)]
    full, lacking = overview(cells_of(*rows)).axes
    [note] = lacking.texts
    names = [label.get_text() for label in full.get_yticklabels()]
    assert (note.get_text(), names[int(note.get_position()[1])]) == ("no runs", "Xu")
    assert note.get_color() == style.FAINT


def test_a_name_with_dollar_signs_is_drawn_as_it_is():
    figure = overview(cells_of((r"a$\frac$", "emoji", 0, 0.3)))
    assert b"<svg" in canvas.to_bytes(figure, "svg")


def test_every_scenario_that_was_run_is_shown_and_no_other():
    cells = published_summary().query("scenario in (1, 2)")
    titles = [axes.get_title(loc="left") for axes in overview(cells).axes]
    assert titles[::4] == ["Emoji, Small2Large", "Emoji, Mid2Rest"]


def test_the_caption_names_no_model_that_is_not_there():
    caption = CAPTIONS["overview"]
    assert "Energy Pool" not in caption.text(["disco", "mine"])
    assert "Standard" not in caption.text(["disco"])
    told = caption.text(["standard", "energy_pool k=7", "conv3d"])
    assert "The dotted line is the standard model." in told
    assert "Energy Pool, which the paper's Fig. 4 leaves out" in told


def test_a_dataset_without_a_scenario_says_so():
    cells = published_summary()
    cells = cells[(cells["dataset"] != "mnist") | (cells["scenario"] != 4)]
    texts = [text.get_text() for text in overview(cells).axes[13].texts]
    assert texts == ["no runs"]


def test_a_box_holds_the_middle_half_and_every_outlier_is_drawn():
    scores = [0.4, 0.5, 0.5, 0.6, 0.6, 0.7, 0.01]
    trials = pd.DataFrame(
        {"model": "xu", "dataset": "emoji", "scenario": 1, "test_accuracy": scores}
    )
    figure = boxes(trials)
    axes = figure.axes[0]
    box, median, mean, outliers = (axes.lines[i] for i in (0, 5, 6, 7))
    low, high = np.percentile(scores, [25, 75])
    assert (min(box.get_ydata()), max(box.get_ydata())) == pytest.approx((low, high))
    assert median.get_ydata()[0] == 0.5
    assert mean.get_ydata()[0] == pytest.approx(np.mean(scores))
    assert list(outliers.get_ydata()) == [0.01]
    assert axes.get_title(loc="right") == "7 seeds"
