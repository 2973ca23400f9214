"""A by-scale file with run ids, and the public one, which has none and surplus rows."""

import csv
import gzip
import random
from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError, load
from analysis.collection import by_scale
from analysis.collection.mlflow import import_mlflow
from stir.scenarios import SCALES

GOLDEN = Path(__file__).parents[2] / "golden"
EXPORT = GOLDEN / "mlflow-emoji-2.csv.gz"
BY_SCALE = GOLDEN / "by-scale-emoji-2.csv.gz"


@pytest.fixture
def rows() -> list[dict[str, str]]:
    with gzip.open(BY_SCALE, "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def import_rows(tmp_path):
    """Import the export with a by-scale file of these rows; the answer, and the table."""

    def import_rows(rows):
        with (tmp_path / "public.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        out = str(tmp_path / "results")
        found = import_mlflow(str(EXPORT), out, by_scale=str(tmp_path / "public.csv"))
        return found, load("scale_accuracy", out)

    return import_rows


def public(row: dict[str, str]) -> dict[str, str]:
    """The row as the public file has it, which names a cell and no run."""
    return {name: value for name, value in row.items() if name not in ("run_id", "seed", "lr")}


def test_rows_without_run_ids_are_given_to_the_runs_they_belong_to(rows, import_rows, tmp_path):
    _, with_ids = import_rows(rows)
    shuffled = [public(row) for row in rows]
    random.Random(1).shuffle(shuffled)
    found, without = import_rows(shuffled)
    assert (found.by_scale, found.left_out) == (15, [])
    means = [table.groupby(["scale"])["accuracy"].mean() for table in (with_ids, without)]
    assert means[0].tolist() == pytest.approx(means[1].tolist())
    tested = without[~without["scale"].between(33, 48)].groupby("point_id")["accuracy"].mean()
    trials = load("trials", str(tmp_path / "results"))
    expected = trials.set_index("point_id")["test_accuracy"].loc[tested.index]
    assert (tested - expected).abs().max() < 2e-3


def test_surplus_rows_are_named_and_draw_no_other_off(rows, import_rows):
    good = [public(row) for row in rows]
    scales = [name for name in good[0] if name[1:].isdigit()]
    surplus = [good[0] | dict.fromkeys(scales, value) for value in ("0.99", "0.015")]
    found, table = import_rows([surplus[0], *good, surplus[1]])
    assert found.by_scale == 15
    assert table["point_id"].nunique() == 15
    assert [line.split(": ")[0].split()[-1] for line in found.left_out] == ["2", "18"]
    assert all("must belong to a run of the export" in line for line in found.left_out)


def test_a_surplus_row_draws_none_off_though_all_gaps_together_would_be_smaller():
    """The row at 0.5 belongs to the run at 0.4984, the one at 0.496 to none."""
    runs = pd.DataFrame({"point_id": ["near", "far"], "test_accuracy": [0.4984, 0.53]})
    rows = pd.DataFrame({f"s{scale}": [0.5, 0.496] for scale in SCALES})
    found = by_scale._assigned(
        rows.assign(model="m", data="emoji", eval=2),
        runs.assign(model="m", dataset="emoji", scenario=2),
    )
    assert found.dropna().to_dict() == {0: "near"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"model": "mine"}, "must belong to a run"),
        ({"data": "mnist"}, "must belong to a run"),
        ({"eval": "9"}, "eval must be a whole number in 1 .. 4"),
        ({"s40": "1.5"}, "s40 must be a number in 0 .. 1"),
    ],
)
def test_a_row_of_no_cell_or_no_numbers_is_named(change, rule, rows, import_rows):
    good = [public(row) for row in rows]
    found, _ = import_rows([*good[:-1], good[-1] | change])
    assert found.by_scale == 14
    assert rule in found.left_out[0]


def test_a_file_with_neither_ids_nor_cells_names_what_it_lacks(rows, import_rows):
    bare = [{"s17": "0.5"}]
    with pytest.raises(AnalysisError, match="lacks model, data, eval"):
        import_rows(bare)
