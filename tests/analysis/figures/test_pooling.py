import numpy as np
import pandas as pd

from analysis.figures.pooling import index_maps, pooling_scale


def test_channels_stand_by_their_correlation_and_constant_ones_last():
    scales = np.arange(17, 65)
    sizes = {0: np.full(48, 9.0), 1: 80.0 - scales, 2: scales / 2.0}
    frame = pd.concat(
        pd.DataFrame({"channel": channel, "scale": scales, "mean_kernel_size": values})
        for channel, values in sizes.items()
    )
    axes = pooling_scale(frame).axes
    titles = [panel.get_title(loc="left") for panel in axes]
    assert titles == ["2: r = 1.00", "1: r = -1.00", "0: constant"]
    assert list(axes[0].lines[0].get_ydata()) == list(sizes[2])


def test_index_maps_share_one_colour_scale():
    sizes = np.zeros((3, 2, 4, 4))
    sizes[1, 1] = 63
    figure = index_maps(sizes, scales=(17, 64))
    limits = {axes.images[0].get_clim() for axes in figure.axes[:6]}
    assert limits == {(0.0, 63.0)}
    assert figure.axes[4].images[0].get_array().max() == 63
