"""Results of evaluating trained weights, from frames of trials and of measurements."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis import stats, style
from analysis.errors import AnalysisError
from analysis.results.cells import CELL, counts_by_cell, in_order

# The paper's choice for its figure 7: a model and a scenario, taken where they are there.
FIRST_MODEL, FIRST_SCENARIO = "slice_pool", 2
STAGE = 2  # of equivariance errors, as in the paper's figure 6

# Which models a measure applies to, and the option of `tune-jobs evaluate` that asks for it.
MEASURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "equivariance": ("standard, kanazawa, pixel_pool, slice_pool or energy_pool", ""),
        "pool_scales": ("pixel_pool, slice_pool or energy_pool", ""),
        "pool_correlations": ("pixel_pool, slice_pool or energy_pool", ""),
        "index_maps": ("pixel_pool", " --maps 33/0"),
    }
)

_SMALL = ((32, 17), (17, 32))
_MIDDLE = ((48, 33), (33, 48))
_LARGE = ((64, 49), (49, 64))
# The scale pairs of which a scenario trains on neither. The paper's supplementary figure took the
# mirror of these for scenarios 1 and 3.
UNSEEN: Mapping[int, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        1: (*_LARGE, *_MIDDLE),
        2: (*_LARGE, *_SMALL),
        3: (*_MIDDLE, *_SMALL),
        4: (*_LARGE, *_MIDDLE, *_SMALL),  # trains on all scales, so none is unseen: all are taken
    }
)


class Object(NamedTuple):
    """A test object by its class and its number within the class, both counted from 0."""

    class_index: int
    instance: int


PAPER_OBJECT = Object(33, 0)  # that of the paper's figure 7 and supplementary figure 4


class CloseUp(NamedTuple):
    """One trial, and the rows of a measure for one of its objects at its last stage."""

    model: str
    title: str  # which trial, object and stage
    rows: pd.DataFrame


def evaluated(trials: pd.DataFrame, evaluations: pd.DataFrame, *measures: str) -> pd.DataFrame:
    """The trials that have rows in one of the measures; AnalysisError if none has."""
    found = evaluations[evaluations["measure"].isin(measures) & (evaluations["rows"] > 0)]
    kept = trials[trials["point_id"].isin(found["point_id"])]
    if kept.empty:
        models, option = MEASURES[measures[0]]
        raise AnalysisError(
            f"Trained weights of {models} must have been evaluated; of the trials shown here none "
            f"have (published ones hold no weights). Do: tune-jobs evaluate --storage STORAGE"
            f"{option}, then collect again."
        )
    return kept[["point_id", *CELL, "seed", "test_accuracy"]]


def errors(trials: pd.DataFrame, pair_errors: pd.DataFrame) -> pd.DataFrame:
    """The trials with their mean equivariance error at STAGE, over objects and UNSEEN pairs.

    ``pair_errors`` has a row per trial and scale pair: see ``by_trial``. ``undefined`` of the
    ``objects`` (at all pairs) have no error and are in no mean.
    """
    scenarios = trials[["point_id", "scenario"]]
    pairs = unseen(pair_errors.merge(scenarios, on="point_id", validate="many_to_one"))
    return trials.merge(by_trial(pairs), "left", on="point_id", validate="one_to_one")


def by_cell(
    trials: pd.DataFrame,
    pair_errors: pd.DataFrame,
    channels: pd.DataFrame,
    failed: pd.DataFrame,
    *,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """A row per cell of evaluated trials: its equivariance error and its correlations.

    ``channels`` has a row per trial, stage and channel, ``failed`` one per failed trial. ``error``
    is the mean over trials of ``errors``, ``error_low`` and ``error_high`` bound it (95 %, see
    ``stats.mean_interval``), ``undefined`` is the share without one. ``r_1`` and ``r_2`` are means
    over channels and trials, by stage, ``constant`` the share without an r. What does not apply to
    a model is missing.
    """
    failures = counts_by_cell(failed)
    rows: list[dict[str, object]] = []
    for key, cell in in_order(errors(trials, pair_errors)).groupby(CELL, sort=False):
        known = cell["error"].dropna().to_numpy(dtype=float)
        interval = stats.mean_interval(known, rng=rng)
        of_cell = channels[channels["point_id"].isin(cell["point_id"])]
        r = of_cell.groupby("stage")["r"].mean()
        rows.append(
            {
                **{name: cell[name].iloc[0] for name in ("dataset", "scenario", "model")},
                "evaluated": len(cell),
                "failed": failures.get(key, 0),
                "error": known.mean() if len(known) else math.nan,
                "error_low": interval.low,
                "error_high": interval.high,
                "interval": interval.method,
                "undefined": _share(cell["undefined"].sum(), cell["objects"].sum()),
                "r_1": r.get(1, math.nan),
                "r_2": r.get(2, math.nan),
                "constant": _share(of_cell["constant"].sum(), of_cell["objects"].sum()),
            }
        )
    return pd.DataFrame(rows)


def best_trial(trials: pd.DataFrame) -> pd.Series:
    """The most accurate trial of one cell.

    The cell is of the first dataset, of FIRST_SCENARIO if it can be, of FIRST_MODEL before others.
    """
    datasets = style.ordered(trials["dataset"], style.DATASETS)
    order = pd.DataFrame(
        {
            "dataset": trials["dataset"].map(datasets.index),
            "scenario": trials["scenario"] != FIRST_SCENARIO,
            "model": trials["model"].str.partition(" ")[0] != FIRST_MODEL,
            "accuracy": -trials["test_accuracy"],
        }
    )
    return trials.loc[order.sort_values(list(order.columns), kind="stable").index[0]]


def close_up(trial: pd.Series, rows: pd.DataFrame, wanted: Object | None) -> CloseUp:
    """Those of a trial's rows that are of one object: ``wanted``, else the paper's, else the first.

    AnalysisError for an object that is not among them.
    """
    pairs = rows[["class_index", "instance"]].drop_duplicates()
    known = {Object(int(one), int(two)) for one, two in pairs.itertuples(index=False, name=None)}
    if wanted is not None and wanted not in known:
        some = ", ".join(f"{one.class_index}/{one.instance}" for one in sorted(known)[:5])
        raise AnalysisError(
            f"An object must be one that was evaluated, by class and number: {some}"
            f"{' and others' if len(known) > 5 else ''}; got "
            f"{wanted.class_index}/{wanted.instance}. "
            "Index maps of another: tune-jobs evaluate --maps CLASS/NUMBER, then collect again."
        )
    shown = wanted or (PAPER_OBJECT if PAPER_OBJECT in known else min(known))
    kept = rows[(rows["class_index"] == shown.class_index) & (rows["instance"] == shown.instance)]
    name = style.model_styles([trial["model"]])[trial["model"]].name
    title = (
        f"{name} on {style.dataset_name(trial['dataset'])}, "
        f"{style.scenario_name(trial['scenario'])}, seed {trial['seed']} "
        f"(test accuracy {100 * trial['test_accuracy']:.1f} %), stage {kept['stage'].iloc[0]}, "
        f"class {shown.class_index}, instance {shown.instance}"
    )
    return CloseUp(trial["model"], title, kept)


def unseen(errors: pd.DataFrame) -> pd.DataFrame:
    """The rows whose pair of scales is among ``UNSEEN`` of their scenario."""
    pairs = [(scenario, *pair) for scenario, found in UNSEEN.items() for pair in found]
    wanted = pd.DataFrame(pairs, columns=["scenario", "scale", "other_scale"])
    return errors.merge(wanted, on=["scenario", "scale", "other_scale"])


def by_trial(errors: pd.DataFrame) -> pd.DataFrame:
    """Each trial's error from its means by scale pair; every object weighs the same.

    ``errors`` has the columns ``point_id``, ``error`` (the mean over the ``defined`` ones, else
    NaN), ``defined`` and ``objects``. A trial without any error has NaN.
    """
    sums = errors.assign(error=errors["error"].fillna(0.0) * errors["defined"])
    trials = sums.groupby("point_id")[["error", "defined", "objects"]].sum()
    return pd.DataFrame(
        {
            "error": trials["error"] / trials["defined"].where(trials["defined"] > 0),
            "undefined": trials["objects"] - trials["defined"],
            "objects": trials["objects"],
        }
    ).reset_index()


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
