"""Every figure by name: what it shows, and how it comes from a results folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from matplotlib.figure import Figure

from analysis.compare import MARGIN, NOTHING_COMPARABLE, compared
from analysis.errors import AnalysisError
from analysis.figures.comparison import comparison
from analysis.figures.generalization import generalization
from analysis.figures.learning import learning_curves
from analysis.figures.overview import boxes, overview
from analysis.figures.ranks import critical_difference
from analysis.figures.time import epoch_time
from analysis.frames import Frames
from analysis.summary import ranked


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
        "ranks": Entry(
            "Average ranks",
            "Ranks by mean test accuracy, averaged over datasets and scenarios, 1 is best. A bar "
            "joins models that Nemenyi's test does not tell apart at 5 %.",
            lambda frames: critical_difference(ranked(frames.trials)),
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
