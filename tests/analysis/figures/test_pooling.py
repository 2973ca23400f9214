import numpy as np
import pandas as pd

from analysis.figures.pooling import correlation, index_maps, pooling_scale


def test_channels_stand_by_their_correlation_and_constant_ones_last():
    scales = np.arange(17, 65)
    sizes = {0: np.full(48, 9.0), 1: 80.0 - scales, 2: scales / 2.0}
    frame = pd.concat(
        pd.DataFrame({"channel": channel, "scale": scales, "mean_kernel_size": values})
        for channel, values in sizes.items()
    )
    figure = pooling_scale(frame, title="One run", colour="#d55e00")
    axes = figure.axes
    titles = [panel.get_title(loc="left") for panel in axes]
    assert titles == ["2: r = 1.00", "1: r = -1.00", "0: constant"]
    assert figure.get_suptitle() == "One run"
    assert list(axes[0].lines[0].get_ydata()) == list(sizes[2])


def test_index_maps_share_one_colour_scale():
    sizes = np.zeros((3, 2, 4, 4))
    sizes[1, 1] = 63
    figure = index_maps(sizes, scales=(17, 64), title="One run")
    limits = {axes.images[0].get_clim() for axes in figure.axes[:6]}
    assert limits == {(0.0, 63.0)}
    assert figure.axes[4].images[0].get_array().max() == 63


def test_correlations_are_boxes_by_model_and_stage_with_the_constant_ones_counted():
    rows = [("a", "slice_pool", "emoji", 2, 1, channel / 10, 4, 0) for channel in range(5)] + [
        ("a", "slice_pool", "emoji", 2, 2, np.nan, 4, 4),
        ("b", "pixel_pool", "mnist", 1, 1, 0.5, 4, 2),
    ]
    columns = ["point_id", "model", "dataset", "scenario", "stage", "r", "objects", "constant"]
    panels = correlation(pd.DataFrame(rows, columns=columns)).axes
    texts = [[text.get_text() for text in axes.texts] for axes in panels]
    assert texts == [
        ["not evaluated"],
        ["17 % of sizes constant"],
        ["50 % of sizes constant"],
        ["not evaluated"],
    ]
    names = [label.get_text() for label in panels[2].get_xticklabels()]
    assert names[2:] == ["Slice Pool, stage 1", "Slice Pool, stage 2"]
    medians = [line for line in panels[1].lines if line.get_linewidth() == 2]
    assert [(line.get_ydata()[0], round(line.get_xdata().mean())) for line in medians] == [(0.2, 2)]
