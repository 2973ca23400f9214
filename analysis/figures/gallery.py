"""Draw every figure from a results folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure

from analysis import style
from analysis.errors import AnalysisError
from analysis.figures.catalogue import CAPTIONS
from analysis.figures.comparison import comparison
from analysis.figures.equivariance import equivariance
from analysis.figures.generalization import generalization
from analysis.figures.learning import learning_curves
from analysis.figures.overview import boxes, overview
from analysis.figures.pooling import correlation, index_maps, pooling_scale
from analysis.figures.ranks import critical_difference
from analysis.figures.time import epoch_time
from analysis.results.comparison import MARGIN, NOTHING_COMPARABLE, compared
from analysis.results.evaluations import Object
from analysis.results.folder import ResultsFolder
from analysis.results.summary import ranked


def draw_figures(
    folder: ResultsFolder, names: Iterable[str] = tuple(CAPTIONS), *, shown: Object | None = None
) -> Iterator[tuple[str, Figure | AnalysisError]]:
    """Yield each figure by its name, plotted when asked for, or why these results do not allow it.

    ``shown`` is the test object of the figures that show a single one; left out, it is the paper's
    where that was evaluated, else the first.
    """
    for name in names:
        try:
            yield name, _DRAW[name](folder, shown)
        except AnalysisError as error:
            yield name, error


def _comparison(folder: ResultsFolder, shown: Object | None) -> Figure:
    table = compared(folder.all_trials, folder.study_points, folder.published_cells)
    if table.empty:
        raise AnalysisError(NOTHING_COMPARABLE)
    return comparison(table, margin=MARGIN)


def _ranks(folder: ResultsFolder, shown: Object | None) -> Figure:
    found = ranked(folder.trials)
    failed = f"Failed runs, in no mean: {len(folder.failed)}." if len(folder.failed) else ""
    return critical_difference(found.ranking, note=f"{failed} {found.note}".strip())


def _pooling(folder: ResultsFolder, shown: Object | None) -> Figure:
    found = folder.close_up("pool_scales", shown)
    look = style.model_styles([found.model])[found.model]
    return pooling_scale(found.rows, title=found.title, colour=look.colour)


def _index_maps(folder: ResultsFolder, shown: Object | None) -> Figure:
    found = folder.close_up("index_maps", shown)
    scales = sorted(set(found.rows["scale"]))
    rows = found.rows.sort_values(["channel", "scale"])
    height = int(rows["height"].iloc[0])
    sizes = np.stack(rows["kernel_size"].tolist()).reshape(-1, len(scales), height, height)
    return index_maps(sizes, scales=scales, title=found.title)


_DRAW: Mapping[str, Callable[[ResultsFolder, Object | None], Figure]] = MappingProxyType(
    {
        "overview": lambda folder, _: overview(folder.summary),
        "generalization": lambda folder, _: generalization(folder.scales, folder.failed),
        "boxes": lambda folder, _: boxes(folder.trials, folder.failed),
        "equivariance": lambda folder, _: equivariance(folder.equivariance_errors, folder.failed),
        "correlation": lambda folder, _: correlation(folder.pool_correlations),
        "pooling": _pooling,
        "index-maps": _index_maps,
        "ranks": _ranks,
        "comparison": _comparison,
        "learning": lambda folder, _: learning_curves(folder.epochs, folder.failed),
        "time": lambda folder, _: epoch_time(folder.trials, folder.failed),
    }
)
assert list(_DRAW) == list(CAPTIONS)
