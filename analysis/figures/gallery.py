"""Every figure by name: what it shows, and how it comes from a results folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure

from analysis import style
from analysis.errors import AnalysisError
from analysis.figures.comparison import comparison
from analysis.figures.equivariance import equivariance
from analysis.figures.generalization import generalization
from analysis.figures.learning import learning_curves
from analysis.figures.overview import boxes, overview
from analysis.figures.pooling import correlation, index_maps, pooling_scale
from analysis.figures.ranks import critical_difference
from analysis.figures.time import epoch_time
from analysis.results import evaluations as measured
from analysis.results.comparison import MARGIN, NOTHING_COMPARABLE, compared
from analysis.results.folder import Frames
from analysis.results.summary import ranked


@dataclass(frozen=True, slots=True)
class Entry:
    """A figure's title, its caption (complete sentences) and how to draw it.

    ``draw`` raises AnalysisError, saying why, where the results do not hold what it shows.
    """

    title: str
    caption: str
    draw: Callable[[Frames], Figure]


def _comparison(frames: Frames) -> Figure:
    table = compared(frames)
    if table.empty:
        raise AnalysisError(NOTHING_COMPARABLE)
    return comparison(table, margin=MARGIN)


def _ranks(frames: Frames) -> Figure:
    found = ranked(frames.trials)
    return critical_difference(found.ranking, note=found.words)


def _pooling(frames: Frames) -> Figure:
    found = measured.look(frames, "pool_scales")
    look = style.model_styles([found.model])[found.model]
    return pooling_scale(found.rows, title=found.words, colour=look.colour)


def _index_maps(frames: Frames) -> Figure:
    found = measured.look(frames, "index_maps")
    scales = sorted(set(found.rows["scale"]))
    rows = found.rows.sort_values(["channel", "scale"])
    height = int(rows["height"].iloc[0])
    sizes = np.stack(rows["kernel_size"].tolist()).reshape(-1, len(scales), height, height)
    return index_maps(sizes, scales=scales, title=found.words)


FIGURES: Mapping[str, Entry] = MappingProxyType(
    {
        "overview": Entry(
            "Test accuracy at a glance",
            "Dots are means over seeds with 95 % bootstrap intervals, the best three of a panel "
            "filled; the dotted line is the standard model. Energy Pool and Conv3D, which the "
            "paper's Fig. 4 leaves out, are in the box plots. Axes differ between panels.",
            lambda frames: overview(frames.summary),
        ),
        "generalization": Entry(
            "Test accuracy by object scale",
            "The line is the mean over seeds, the band one standard deviation to either side. "
            "Grey marks the scales the models were trained on.",
            lambda frames: generalization(frames.scales),
        ),
        "boxes": Entry(
            "Test accuracy of all runs",
            "The box is the middle half of the runs with the median, whiskers reach 1.5 times its "
            "length, dots lie outside, the cross is the mean.",
            lambda frames: boxes(frames.trials),
        ),
        "equivariance": Entry(
            "Equivariance error against accuracy",
            "Stage 2; dots are runs, markers the mean of a model's. The error is the mean over the "
            "test objects and the scale pairs of which the scenario trains on neither (All2All: "
            "all pairs). Only models whose stages have one map a channel have an error.",
            lambda frames: equivariance(measured.errors(frames)),
        ),
        "correlation": Entry(
            "Does the chosen kernel size follow the object's size?",
            "Pearson's r of chosen kernel size and object scale over 48 scales, mean over test "
            "objects: boxes over the channels of all runs. An object for which a channel never "
            "changes its size has no r; the panel says how many. Pixel Pool's channels without an "
            "answer above zero (see the index maps) all have one small r that means nothing.",
            lambda frames: correlation(measured.correlations(frames)),
        ),
        "pooling": Entry(
            "Chosen kernel size against object size, closely",
            "One object, one run: a panel per channel, sorted by r. Chosen by test accuracy, so "
            "better than a typical run; all runs are in the figure before.",
            _pooling,
        ),
        "index-maps": Entry(
            "Where which kernel size is chosen",
            "One object at four sizes (rows), a column per channel. A pyramid is a channel without "
            "an answer above zero: there the zeros around a bigger kernel's answer are chosen, of "
            "the smallest kernel that has some at the pixel.",
            _index_maps,
        ),
        "ranks": Entry(
            "Average ranks",
            "Ranks by mean test accuracy, averaged over datasets and scenarios, 1 is best. A bar "
            "joins models that Nemenyi's test does not tell apart at 5 %. Only cells that all the "
            "models have can be ranked: what is left out is named.",
            _ranks,
        ),
        "comparison": Entry(
            "Ours against the published results",
            "The difference of mean test accuracy with its 95 % interval; grey is the margin of "
            f"{100 * MARGIN:g} points within which a difference does not matter.",
            _comparison,
        ),
        "learning": Entry(
            "Validation accuracy over training",
            "The mean over the seeds that still train; a line ends where half of them have "
            "stopped.",
            lambda frames: learning_curves(frames.epochs),
        ),
        "time": Entry(
            "Time per epoch",
            "Mean over runs and epochs, logarithmic axis. Machines are not told apart.",
            lambda frames: epoch_time(frames.trials),
        ),
    }
)


def drawn(
    frames: Frames, names: Iterable[str] = tuple(FIGURES)
) -> Iterator[tuple[str, Figure | AnalysisError]]:
    """Each figure by name, drawn when asked for, or why these results do not allow it."""
    for name in names:
        try:
            yield name, FIGURES[name].draw(frames)
        except AnalysisError as error:
            yield name, error
