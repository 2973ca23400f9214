"""Our runs against the published ones, cell by cell: difference, interval, verdict."""

import math

import pandas as pd

from analysis import stats
from analysis.errors import AnalysisError
from analysis.protocol import INTERPOLATION, KERNEL_SIZE, PROTOCOL, RECIPE
from analysis.results.cells import (
    CELL,
    counts_by_cell,
    failed_beside,
    in_order,
    labelled,
    reported,
)

MARGIN = 0.03  # a difference of mean accuracies, either way, that does not matter
SIGNIFICANCE = 0.05
LEAST = 3  # runs of ours, below which nothing is said
PUBLISHED_FILE = "@published"  # ends the name of a dataset that was downloaded, not built
AGREES, DIFFERS, TOO_FEW = "agrees", "differs", "too few runs"
NOTHING_COMPARABLE = (
    "A comparison needs finished runs of ours in a published cell, by exactly the published "
    f"protocol ({PROTOCOL}); there are none."
)

_COLUMNS = [
    *("dataset", "scenario", "model", "lr", "published_lr", "seeds", "published_seeds", "failed"),
    *("mean", "published_mean", "difference", "low", "high", "test", "shared_seeds"),
    *("correlation", "difference_p", "equivalence_p", "verdict"),
]


def compared(
    trials: pd.DataFrame,
    study_points: pd.DataFrame,
    published_cells: pd.DataFrame,
    *,
    margin: float = MARGIN,
) -> pd.DataFrame:
    """A row per cell that we have and that is published, run by the published protocol.

    ``trials`` are those of every source, ``published_cells`` is a summary of the published ones
    (see ``published.published_summary``). A cell that was run in several ways (dataset contents,
    versions) has a row for each, distinguished by ``model`` as ``cells.labelled`` does. Runs on
    ``emoji@published``, the published file, stand beside the published cell of emoji. ``failed``
    counts our runs of the cell that failed and are in no mean.

    ``low`` and ``high`` bound the difference, ours minus published (95 %). The verdict *agrees*
    when the difference is within ``margin`` at 5 % (two one-sided tests), else *differs* when it is
    not zero at 5 % (corrected for the number of cells, Holm), else says *too few runs*.

    ``test`` names the method. Within a cell the same seed means the same initial weights in both.
    Where the published trials are in the tables too, hold every seed of ours at our learning rate,
    these are ``stats.FEW`` or more, and the correlation over them is clearly above zero (95 %),
    they are compared in pairs; else all runs are, as ``stats.independent`` says. Means and numbers
    of seeds are those of the runs compared.
    """
    if not 0 < margin <= 1:
        raise AnalysisError(f"A margin must be above 0, such as {MARGIN}, to 1; got {margin:g}.")
    kept = comparable(trials)
    runs = reported(kept, study_points)
    base = runs.assign(dataset=runs["dataset"].str.removesuffix(PUBLISHED_FILE))
    keys = pd.Series(list(base[CELL].itertuples(index=False, name=None)), index=runs.index)
    ours = labelled(runs).assign(key=keys)
    failures = counts_by_cell(failed_beside(ours, kept))
    theirs = trials[trials["source"] == "published"]
    shipped = published_cells.set_index(CELL, drop=False)
    cells = in_order(ours[ours["key"].isin(shipped.index)]).groupby(CELL, sort=False)
    table = pd.DataFrame(
        [
            _row(cell, theirs, shipped.loc[[cell["key"].iloc[0]]].iloc[0], margin)
            | {"failed": failures.get(key, 0)}
            for key, cell in cells
        ],
        columns=_COLUMNS,
    )
    table["difference_p"] = stats.holm(table["difference_p"].tolist())
    judged = zip(table["seeds"], table["equivalence_p"], table["difference_p"], strict=True)
    table["verdict"] = [_verdict(*values) for values in judged]
    return table


def comparable(trials: pd.DataFrame) -> pd.DataFrame:
    """Our trials that were run as the published ones: recipe, kernel size and interpolation."""
    alike = (trials["source"] == "ours") & (trials["kernel_size"] == KERNEL_SIZE)
    alike &= trials["on_divergence"].isna()
    alike &= trials["interpolation"].fillna(INTERPOLATION) == INTERPOLATION
    for name, value in RECIPE.items():
        alike &= trials[name] == value
    return trials[alike]


def not_comparable(trials: pd.DataFrame) -> int:
    """How many finished trials of ours ``comparable`` leaves out."""
    ours = trials[(trials["source"] == "ours") & (trials["status"] == "finished")]
    return len(ours) - len(comparable(ours))


def _row(
    cell: pd.DataFrame, published_trials: pd.DataFrame, shipped: pd.Series, margin: float
) -> dict[str, object]:
    model, dataset, scenario = (cell[name].iloc[0] for name in CELL)
    ours = stats.sample(cell["test_accuracy"].to_numpy(dtype=float))
    theirs = stats.Sample(int(shipped["seeds"]), float(shipped["mean"]), float(shipped["spread"]))
    first, second = _pairs(cell, _of_cell(published_trials, shipped))
    r = stats.correlation(first, second)
    clear = stats.correlation_interval(r, len(first)).low > 0
    if clear and len(first) == ours.size >= stats.FEW:
        theirs, gap = stats.sample(second), stats.paired(first, second)
    else:
        gap = stats.independent(ours, theirs)
    low, high = gap.interval()
    return {
        "dataset": dataset,
        "scenario": scenario,
        "model": model,
        "lr": cell["lr"].iloc[0],
        "published_lr": shipped["lr"],
        "seeds": ours.size,
        "published_seeds": theirs.size,
        "mean": ours.mean,
        "published_mean": theirs.mean,
        "difference": gap.difference,
        "low": low,
        "high": high,
        "test": gap.method,
        "shared_seeds": len(first),
        "correlation": r,
        "difference_p": gap.p(),
        "equivalence_p": gap.equivalence_p(margin),
    }


def _of_cell(trials: pd.DataFrame, cell: pd.Series) -> pd.DataFrame:
    return trials[(trials[CELL] == cell[CELL]).all(axis=1)]


def _pairs(cell: pd.DataFrame, published_cell: pd.DataFrame) -> tuple[stats.Scores, stats.Scores]:
    """Accuracies of the seeds that both have at our learning rate, ours and theirs."""
    names = ["test_accuracy", "test_accuracy_published"]
    both = cell.merge(published_cell, on=["lr", "seed"], suffixes=("", "_published"))
    ours, theirs = (both[name].to_numpy(dtype=float) for name in names)
    return ours, theirs


def _verdict(seeds: int, equivalence_p: float, difference_p: float) -> str:
    if seeds < LEAST or math.isnan(equivalence_p):
        return TOO_FEW
    if equivalence_p < SIGNIFICANCE:
        return AGREES
    return DIFFERS if difference_p < SIGNIFICANCE else TOO_FEW
