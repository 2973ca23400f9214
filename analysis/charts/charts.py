"""The interactive charts of a results folder: a specification, and the rows that it draws."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from analysis import style
from analysis.charts import specs
from analysis.charts.looks import Looks, looks_of
from analysis.charts.specs import Spec
from analysis.errors import AnalysisError
from analysis.results.cells import CELL
from analysis.results.comparison import MARGIN, compared
from analysis.results.folder import ResultsFolder
from analysis.results.summary import by_epoch, by_scale

TOP = 3  # models of a panel whose dots are filled
_ACCURACY = "test accuracy"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of the page.

    ``rows`` has the columns ``dataset`` and ``scenario``, by which the page chooses what is drawn,
    ``model`` and its printed ``name``; ``value`` is the column that a description reads out.
    """

    name: str  # that of the drawn figure
    spec: Spec
    rows: pd.DataFrame
    value: str
    hint: str  # a sentence on how to read it
    across: str = ""  # the column along the horizontal axis of a line
    unit: str = "%"  # of ``value``, a share: per cent; else its unit


@dataclass(frozen=True, slots=True)
class Styles:
    """The styles of all models of a page, by label, and their looks in a chart."""

    by_label: Mapping[str, style.ModelStyle]
    looks: Looks

    @classmethod
    def of(cls, labels: Iterable[str]) -> "Styles":
        by_label = style.model_styles(labels)
        return cls(by_label, looks_of(by_label))

    def named(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with the printed ``name`` of their model, in drawing order."""
        order = {label: place for place, label in enumerate(self.by_label)}
        rows = rows.sort_values("model", key=lambda labels: labels.map(order), kind="stable")
        names = [self.by_label[str(label)].name for label in rows["model"]]
        return rows.assign(name=names).reset_index(drop=True)


def charts(folder: ResultsFolder) -> Iterator[Chart]:
    """Every chart that the reported trials of the folder allow."""
    styles = Styles.of(folder.trials["model"])
    for make in _MAKE.values():
        try:
            chart = make(folder, styles)
        except AnalysisError:
            continue  # the drawn figure of the same name says why
        if len(chart.rows):
            yield chart


def _overview(folder: ResultsFolder, styles: Styles) -> Chart:
    cells = folder.summary
    rank = cells.groupby(["dataset", "scenario"])["mean"].rank(ascending=False)
    columns = [*CELL, "mean", "mean_low", "mean_high", "seeds", "collapsed", "failed"]
    ends = {  # a single run has no interval, and yet its place
        "start": cells["mean_low"].fillna(cells["mean"]),
        "end": cells["mean_high"].fillna(cells["mean"]),
    }
    drawn = cells.assign(best=rank <= TOP, **ends)
    rows = styles.named(drawn[[*columns, "best", *ends]])
    return Chart(
        "overview",
        specs.means(styles.looks),
        rows.sort_values("mean", ascending=False, kind="stable"),
        "mean",
        "Means over seeds with 95 % intervals, the best three filled.",
    )


def _generalization(folder: ResultsFolder, styles: Styles) -> Chart:
    rows = styles.named(by_scale(folder.scales).merge(_counts(folder), on=CELL))
    told = {
        "scale": ("Object scale [px]", "d"),
        "mean": ("Mean", ".2%"),
        "low": ("minus one deviation", ".2%"),
        "high": ("plus one deviation", ".2%"),
        **specs.COUNTS,
    }
    return Chart(
        "generalization",
        specs.lines(
            styles.looks, x="scale", title="object scale [px]", y=_ACCURACY, told=told, shaded=True
        ),
        rows,
        "mean",
        "Means over seeds, bands one standard deviation; grey: the sizes trained on.",
        across="scale",
    )


def _learning(folder: ResultsFolder, styles: Styles) -> Chart:
    rows = styles.named(by_epoch(folder.epochs).merge(_counts(folder), on=CELL))
    told = {
        "epoch": ("Epoch", "d"),
        "mean": ("Mean", ".2%"),
        "training": ("Seeds still training", "d"),
        **specs.COUNTS,
    }
    return Chart(
        "learning",
        specs.lines(styles.looks, x="epoch", title="epoch", y="validation accuracy", told=told),
        rows.assign(low=np.nan, high=np.nan),
        "mean",
        "Means over the seeds that still train; a line ends where half of them have stopped.",
        across="epoch",
    )


def _runs(folder: ResultsFolder, styles: Styles) -> Chart:
    columns = ["point_id", *CELL, "seed", "test_accuracy", "best_valid_accuracy", "epochs"]
    rows = styles.named(folder.trials[[*columns, "collapsed"]])
    # Within a cell, spread upwards and downwards by the golden ratio: near seeds lie apart.
    place = rows.groupby(CELL, sort=False).cumcount()
    return Chart(
        "boxes",
        specs.runs(styles.looks),
        rows.assign(spread=1.4 * ((place + 1) * 0.6180339887 % 1) - 0.7),
        "test_accuracy",
        "A dot is a run, a hollow one has collapsed. Click one to set it beside another below.",
    )


def _time(folder: ResultsFolder, styles: Styles) -> Chart:
    columns = [*CELL, "train_seconds", "seeds", "collapsed", "failed"]
    known = folder.summary[folder.summary["train_seconds"].notna()][columns]
    return Chart(
        "time",
        specs.seconds(styles.looks),
        styles.named(known).sort_values("train_seconds", kind="stable"),
        "train_seconds",
        "Seconds in training batches, mean over runs and epochs. Machines are not distinguished.",
        unit="s",
    )


def _equivariance(folder: ResultsFolder, styles: Styles) -> Chart:
    known = folder.equivariance_errors[folder.equivariance_errors["error"].notna()]
    return Chart(
        "equivariance",
        specs.scatter(styles.looks, x="error", title="equivariance error"),
        styles.named(known),
        "error",
        "A dot is a run: the mean error at stage 2 over the pairs of sizes trained on neither.",
        unit="",
    )


def _comparison(folder: ResultsFolder, styles: Styles) -> Chart:
    table = compared(folder.all_trials, folder.study_points, folder.published_cells)
    own = Styles.of(table["model"])
    rows = own.named(table)
    points = {name: 100 * rows[name] for name in ("difference", "low", "high")}
    return Chart(
        "comparison",
        specs.differences(own.looks, margin=MARGIN),
        rows.assign(**points),
        "difference",
        "95 % intervals; grey: the margin within which a difference does not matter.",
        unit="points",
    )


def _counts(folder: ResultsFolder) -> pd.DataFrame:
    return folder.summary[[*CELL, "collapsed", "failed"]]


_MAKE: Mapping[str, Callable[[ResultsFolder, Styles], Chart]] = MappingProxyType(
    {
        "overview": _overview,
        "generalization": _generalization,
        "boxes": _runs,
        "equivariance": _equivariance,
        "comparison": _comparison,
        "learning": _learning,
        "time": _time,
    }
)
