"""What evaluations of trained weights found, of the reported trials."""

from typing import NamedTuple

import pandas as pd

from analysis import style, tables
from analysis.cells import CELL
from analysis.errors import AnalysisError
from analysis.frames import Frames
from analysis.query import query
from tune_jobs.storage import Storage

# The paper's choice for its figure 7: a model and a scenario, taken where they are there.
FIRST_MODEL, FIRST_SCENARIO = "slice_pool", 2

_APPLIES_TO = {
    "equivariance": ("standard, kanazawa, pixel_pool, slice_pool or energy_pool", ""),
    "pool_scales": ("pixel_pool, slice_pool or energy_pool", ""),
    "pool_correlations": ("pixel_pool, slice_pool or energy_pool", ""),
    "index_maps": ("pixel_pool", " --maps 0/0"),
}


class Look(NamedTuple):
    """One trial, and the rows of a measure for one of its objects at its last stage."""

    model: str
    words: str  # which trial, object and stage
    rows: pd.DataFrame


def errors(frames: Frames) -> pd.DataFrame:
    """Mean equivariance error over objects of each trial, stage and scale pair, with its cell.

    ``defined`` of the ``objects`` have an error; the others are in no mean.
    """
    sql = (
        "select point_id, stage, scale, other_scale, avg(error) as error, "
        "count(error) as defined, count(*) as objects from equivariance group by all order by all"
    )
    return _with_cells(sql, _evaluated(frames, "equivariance"), frames)


def correlations(frames: Frames) -> pd.DataFrame:
    """How kernel sizes follow object sizes: a row per trial, stage and channel, with its cell."""
    sql = "select * from pool_correlations order by all"
    return _with_cells(sql, _evaluated(frames, "pool_correlations"), frames)


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
            "model": evaluated["model"] != FIRST_MODEL,
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


def _with_cells(sql: str, trials: pd.DataFrame, frames: Frames) -> pd.DataFrame:
    cells = trials[["point_id", *CELL, "seed", "test_accuracy"]]
    rows = query(sql, frames.results).to_pandas()
    return rows.merge(cells, on="point_id", validate="many_to_one")


def _evaluated(frames: Frames, measure: str) -> pd.DataFrame:
    """The reported trials that have rows in ``measure``; AnalysisError if there are none."""
    evaluations = tables.read_if_any("evaluations", Storage(frames.results)).to_pandas()
    found = evaluations[(evaluations["measure"] == measure) & (evaluations["rows"] > 0)]
    trials = frames.trials[frames.trials["point_id"].isin(found["point_id"])]
    if trials.empty:
        models, option = _APPLIES_TO[measure]
        raise AnalysisError(
            f"Trained weights of {models} must have been evaluated; of the trials shown here none "
            f"have (published ones hold no weights). Do: tune-jobs evaluate --storage STORAGE"
            f"{option}, then collect again."
        )
    return trials
