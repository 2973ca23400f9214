"""What evaluations of trained weights found, of the reported trials."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis import stats, style
from analysis.errors import AnalysisError
from analysis.results.cells import CELL, in_order
from analysis.results.folder import Frames
from analysis.results.query import query
from analysis.tables import parquet
from tune_jobs.storage import Storage

# The paper's choice for its figure 7: a model and a scenario, taken where they are there.
FIRST_MODEL, FIRST_SCENARIO = "slice_pool", 2
STAGE = 2  # of equivariance errors, as in the paper's figure 6

_APPLIES_TO = {
    "equivariance": ("standard, kanazawa, pixel_pool, slice_pool or energy_pool", ""),
    "pool_scales": ("pixel_pool, slice_pool or energy_pool", ""),
    "pool_correlations": ("pixel_pool, slice_pool or energy_pool", ""),
    "index_maps": ("pixel_pool", " --maps 0/0"),
}


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


class Look(NamedTuple):
    """One trial, and the rows of a measure for one of its objects at its last stage."""

    model: str
    words: str  # which trial, object and stage
    rows: pd.DataFrame


def errors(frames: Frames) -> pd.DataFrame:
    """Mean equivariance error of each trial at STAGE, over its objects and UNSEEN pairs.

    ``undefined`` of the ``objects`` (at all pairs) have no error and are in no mean.
    """
    trials = _evaluated(frames, "equivariance")
    return trials.merge(_trial_errors(frames), "left", on="point_id", validate="one_to_one")


def correlations(frames: Frames) -> pd.DataFrame:
    """How kernel sizes follow object sizes: a row per trial, stage and channel, with its cell."""
    trials = _evaluated(frames, "pool_correlations")
    return _correlations(frames).merge(trials, on="point_id", validate="many_to_one")


def by_cell(frames: Frames, *, rng: np.random.Generator) -> pd.DataFrame:
    """A row per cell with evaluated runs: its equivariance error and its correlations.

    ``error`` is the mean over runs of ``errors``, ``error_low`` and ``error_high`` bound it (95 %,
    bootstrap over runs), ``undefined`` is the share without one. ``r_1`` and ``r_2`` are means of
    ``correlations`` over channels and runs, by stage, ``constant`` the share without an r. What
    does not apply to a model is missing.
    """
    trials = _evaluated(frames, *_APPLIES_TO).merge(
        _trial_errors(frames), "left", on="point_id", validate="one_to_one"
    )
    channels = _correlations(frames)
    rows: list[dict[str, object]] = []
    for _, cell in in_order(trials).groupby(CELL, sort=False):
        known = cell["error"].dropna().to_numpy(dtype=float)
        interval = stats.bootstrap_interval(known, rng=rng)
        of_cell = channels[channels["point_id"].isin(cell["point_id"])]
        r = of_cell.groupby("stage")["r"].mean()
        rows.append(
            {
                **{name: cell[name].iloc[0] for name in ("dataset", "scenario", "model")},
                "evaluated": len(cell),
                "error": known.mean() if len(known) else math.nan,
                "error_low": interval.low,
                "error_high": interval.high,
                "undefined": _share(cell["undefined"].sum(), cell["objects"].sum()),
                "r_1": r.get(1, math.nan),
                "r_2": r.get(2, math.nan),
                "constant": _share(of_cell["constant"].sum(), of_cell["objects"].sum()),
            }
        )
    return pd.DataFrame(rows)


def look(frames: Frames, measure: str) -> Look:
    """The first object, at the last stage, of the most accurate trial that has the measure.

    Of one cell: the first dataset, FIRST_SCENARIO if it can be, FIRST_MODEL before others.
    """
    evaluated = _evaluated(frames, measure)
    datasets = style.ordered(evaluated["dataset"], style.DATASETS)
    order = pd.DataFrame(
        {
            "dataset": evaluated["dataset"].map(datasets.index),
            "scenario": evaluated["scenario"] != FIRST_SCENARIO,
            "model": evaluated["model"].str.partition(" ")[0] != FIRST_MODEL,
            "accuracy": -evaluated["test_accuracy"],
        }
    )
    trial = evaluated.loc[order.sort_values(list(order.columns), kind="stable").index[0]]
    rows = query(
        f"select * from {measure} where point_id = '{trial['point_id']}' "
        "qualify rank() over (order by stage desc, class_index, instance) = 1",
        frames.results,
    ).to_pandas()
    first = rows.iloc[0]
    name = style.model_styles([trial["model"]])[trial["model"]].name
    words = (
        f"{name} on {style.dataset_name(trial['dataset'])}, "
        f"{style.scenario_name(trial['scenario'])}, seed {trial['seed']} "
        f"(test accuracy {100 * trial['test_accuracy']:.1f} %), stage {first['stage']}, "
        f"class {first['class_index']}, instance {first['instance']}"
    )
    return Look(trial["model"], words, rows)


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


def _trial_errors(frames: Frames) -> pd.DataFrame:
    pairs = query(
        "select point_id, scale, other_scale, avg(error) as error, count(error) as defined, "
        f"count(*) as objects from equivariance where stage = {STAGE} group by all order by all",
        frames.results,
    ).to_pandas()
    scenarios = frames.trials[["point_id", "scenario"]]
    return by_trial(unseen(pairs.merge(scenarios, on="point_id", validate="many_to_one")))


def _correlations(frames: Frames) -> pd.DataFrame:
    return query("select * from pool_correlations order by all", frames.results).to_pandas()


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _evaluated(frames: Frames, *measures: str) -> pd.DataFrame:
    """The reported trials that have rows in one of the measures; AnalysisError if none has."""
    evaluations = parquet.read_if_any("evaluations", Storage(frames.results)).to_pandas()
    found = evaluations[evaluations["measure"].isin(measures) & (evaluations["rows"] > 0)]
    trials = frames.trials[frames.trials["point_id"].isin(found["point_id"])]
    if trials.empty:
        models, option = _APPLIES_TO[measures[0]]
        raise AnalysisError(
            f"Trained weights of {models} must have been evaluated; of the trials shown here none "
            f"have (published ones hold no weights). Do: tune-jobs evaluate --storage STORAGE"
            f"{option}, then collect again."
        )
    return trials[["point_id", *CELL, "seed", "test_accuracy"]]
