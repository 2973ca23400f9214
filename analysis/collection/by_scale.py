"""Read published accuracies by object scale from a file, and find the run of each of its rows.

The public file (see docs/analysis.md) names only the cell of a row. Its rows are given to the
cell's runs by their test accuracy, which follows from a row and stands in the export.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.optimize import linear_sum_assignment

from analysis.collection.csv_rows import Sieve, read_rows
from analysis.errors import AnalysisError
from analysis.tables.schemas import SCHEMAS
from stir.scenarios import SCALES, SCENARIOS

CELL = {"model": "model", "data": "dataset", "eval": "scenario"}  # theirs, ours
TOLERANCE = 2e-3  # between the test accuracy of a run and that of its row; see ``_assigned``
# Test images at one scale. Source: Altstidl et al. (2023), Table 1.
IMAGES: Mapping[str, int] = {"emoji": 36, "mnist": 500, "trafficsign": 400, "aerial": 225}
_COLUMNS = {f"s{scale}": scale for scale in SCALES}


def read_by_scale(path: str, trials: pd.DataFrame, left_out: list[str]) -> pa.Table:
    """The rows of scale_accuracy that a by-scale file gives for published trials.

    The file is CSV (or .csv.gz) with the columns s17 .. s64 (accuracies 0..1) and run_id, or
    instead of that model, data and eval. ``left_out`` gets a sentence for each row that cannot be
    used or belongs to no trial; there are counts where the dataset's size is known.
    """
    try:
        sieve = Sieve(read_rows(path, ["run_id", *_COLUMNS], left_out), path, left_out)
        by_id = True
    except AnalysisError as error:
        if "lacks run_id" not in str(error):
            raise
        sieve = Sieve(read_rows(path, [*CELL, *_COLUMNS], left_out), path, left_out)
        by_id = False
    for name in _COLUMNS:
        sieve.number(name, low=0, high=1)
    if by_id:
        _keep_known(sieve, trials)
        sieve.rows["point_id"] = "mlflow-" + sieve.rows["run_id"]
    else:
        sieve.number("eval", low=min(SCENARIOS), high=max(SCENARIOS), whole=True)
        found = _assigned(sieve.rows, trials)
        rule = "a row must belong to a run of the export, by its cell and test accuracy"
        sieve.keep(found.notna(), rule, "model")
        sieve.rows["point_id"] = found[found.notna()]
    return _long(sieve.rows, trials)


def _keep_known(sieve: Sieve, trials: pd.DataFrame) -> None:
    first = ~sieve.rows["run_id"].duplicated()
    sieve.keep(first, "a run_id must come once; an earlier line has this one", "run_id")
    known = ("mlflow-" + sieve.rows["run_id"]).isin(trials["point_id"])
    sieve.keep(known, "a run must be one of the export's trials", "run_id")


def _assigned(rows: pd.DataFrame, trials: pd.DataFrame) -> pd.Series:
    """The point_id of each row, missing where a row belongs to no trial.

    Within a cell rows and trials are matched one to one so that their test accuracies differ
    least. They come from two passes over the test images on a GPU, which may differ in an image.
    """
    found = pd.Series(None, index=rows.index, dtype=object)
    cells = dict(list(trials.groupby(list(CELL.values()))))
    for key, group in rows.groupby(list(CELL)):
        if key not in cells:
            continue
        scenario = SCENARIOS[int(group["eval"].iloc[0])]
        tested = [f"s{scale}" for scale in scenario.test_scales]
        accuracy = group[tested].mean(axis=1).to_numpy()
        cell = cells[key]
        gaps = np.abs(accuracy[:, None] - cell["test_accuracy"].to_numpy()[None])
        # Beyond the tolerance all are equally bad, so that a surplus row draws no other off.
        places, runs = linear_sum_assignment(np.minimum(gaps, TOLERANCE))
        good = gaps[places, runs] < TOLERANCE
        found.loc[group.index[places[good]]] = cell["point_id"].to_numpy()[runs[good]]
    return found


def _long(rows: pd.DataFrame, trials: pd.DataFrame) -> pa.Table:
    long = rows.melt("point_id", list(_COLUMNS), var_name="scale", value_name="accuracy")
    long["scale"] = long["scale"].map(_COLUMNS)
    datasets = trials.set_index("point_id")["dataset"]
    long["total"] = long["point_id"].map(datasets).map(IMAGES).astype("Int64")
    long["correct"] = (long["accuracy"] * long["total"]).round().astype("Int64")
    schema = SCHEMAS["scale_accuracy"]
    return pa.Table.from_pandas(
        long.reindex(columns=schema.names), schema=schema, preserve_index=False
    )
