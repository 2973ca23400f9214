"""tests/golden/mlflow-emoji-2.csv.gz holds 75 rows of the published export, by-scale-* 15."""

import gzip
import random
from pathlib import Path

import pytest

from analysis import AnalysisError, load
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.results.published import published_summary

GOLDEN = Path(__file__).parents[2] / "golden"
EXPORT = GOLDEN / "mlflow-emoji-2.csv.gz"
BY_SCALE = GOLDEN / "by-scale-emoji-2.csv.gz"
EXPECTED = {
    "energy_pool": {"mean": 8.6597, "std": 3.8747, "median": 9.0278},
    "pixel_pool": {"mean": 77.9375, "std": 3.4175, "median": 78.559},
    "standard": {"mean": 38.8299, "std": 3.1069, "median": 38.7153},
}


@pytest.fixture
def lines() -> list[str]:
    return gzip.decompress(EXPORT.read_bytes()).decode().splitlines()


@pytest.fixture
def imported(tmp_path):
    """Import some lines of an export; the answer, and the trials table."""

    def imported(lines: list[str]):
        (tmp_path / "export.csv").write_text("\n".join(lines) + "\n")
        found = import_mlflow(str(tmp_path / "export.csv"), str(tmp_path / "results"))
        return found, load("trials", str(tmp_path / "results"))

    return imported


def changed(line: str, head: str, **values: str) -> str:
    """The line with some columns, named by their last part, given other values."""
    names = [name.rpartition(".")[2] for name in head.split(",")]
    fields = line.split(",")
    for name, value in values.items():
        fields[names.index(name)] = value
    return ",".join(fields)


def test_published_runs_become_trials_with_fractions_and_utc_times(tmp_path):
    found = import_mlflow(str(EXPORT), str(tmp_path), by_scale=str(BY_SCALE))
    assert (found.trials, found.cells, found.by_scale, found.left_out) == (75, 3, 15, [])
    trials = load("trials", str(tmp_path))
    first = trials.set_index("point_id").loc["mlflow-c0c2e27d39834e5d99aca431fb993afe"]
    assert set(trials["source"]) == {"published"}
    assert set(trials["max_epochs"]) == {200}
    assert trials["test_accuracy"].between(0, 1).all()
    assert str(trials["started_at"].dt.tz) == "UTC"
    assert first["test_accuracy"] == pytest.approx(0.4401041666666666)
    assert (first["seed"], first["lr"], first["kernel_size"]) == (25, 0.001, 7)
    assert str(first["started_at"]) == "2022-08-01 19:22:03.897000+00:00"


def test_means_spreads_and_medians_are_the_published_ones(tmp_path):
    """Seeds 1 to 25 of three cells, from the export by hand, in percent."""
    import_mlflow(str(EXPORT), str(tmp_path))
    cells = load("trials", str(tmp_path)).groupby("model")["test_accuracy"]
    found = cells.agg(["mean", "std", "median"]).mul(100).round(4).to_dict("index")
    assert found == EXPECTED


def test_interpolation_is_null_for_models_that_do_not_use_it(tmp_path):
    import_mlflow(str(EXPORT), str(tmp_path))
    trials = load("trials", str(tmp_path))
    used = trials.groupby("model")["interpolation"].first().fillna("none").to_dict()
    assert used == {"energy_pool": "bicubic", "pixel_pool": "bicubic", "standard": "none"}


def test_a_published_run_below_twice_chance_counts_as_collapsed(lines, imported):
    head, *rows = lines[:5]
    percents = ["5.5", "5.6"]  # chance is 1 in 36
    own = changed(rows[2], head, best_acc="5.5", data="mine")  # of an unknown number of classes
    _, trials = imported(
        [
            head,
            *(changed(row, head, best_acc=p) for row, p in zip(rows, percents, strict=False)),
            own,
        ]
    )
    trials["percent"] = (100 * trials["best_valid_accuracy"]).round(3)
    collapsed = trials.set_index(["dataset", "percent"])["collapsed"].astype(object)
    assert collapsed[("emoji", 5.5)] is True
    assert collapsed[("emoji", 5.6)] is False
    assert collapsed[("mine", 5.5)] is None


def test_accuracies_by_scale_agree_with_test_accuracies(tmp_path):
    import_mlflow(str(EXPORT), str(tmp_path), by_scale=str(BY_SCALE))
    scales = load("scale_accuracy", str(tmp_path))
    tested = scales[~scales["scale"].between(33, 48)].groupby("point_id")
    accuracy = tested["correct"].sum() / tested["total"].sum()
    trials = load("trials", str(tmp_path)).set_index("point_id")
    difference = accuracy - trials.loc[accuracy.index, "test_accuracy"]
    assert difference.abs().max() < 1e-3


def test_timestamps_with_and_without_fractions_are_read(lines, imported):
    head, first, second = lines[:3]
    _, trials = imported(
        [
            head,
            changed(first, head, start_time="2022-08-01 19:33:34", end_time="2022-08-01T19:34:34Z"),
            changed(
                second,
                head,
                start_time="2022-08-01 19:33:34.5",
                end_time="2022-08-01 21:33:35.5+02:00",
            ),
        ]
    )
    assert sorted(trials["wall_seconds"]) == [1.0, 60.0]


def test_importing_again_replaces_and_ours_stay(tmp_path, make_record, put):
    put(tmp_path / "runs", make_record())
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    for _ in range(2):
        import_mlflow(str(EXPORT), str(tmp_path / "results"), by_scale=str(BY_SCALE))
    trials = load("trials", str(tmp_path / "results"))
    assert trials["source"].value_counts().to_dict() == {"published": 75, "ours": 1}
    assert len(load("scale_accuracy", str(tmp_path / "results"))) == 16 * 48
    assert len(load("epochs", str(tmp_path / "results"))) == 3


DAMAGES = {
    "unfinished": ({"status": "RUNNING"}, "must be FINISHED; got 'RUNNING'"),
    "without accuracy": ({"test_acc": ""}, "metrics.test_acc must be a number in 0 .. 100; got ''"),
    "NaN": ({"val_loss": "nan"}, "metrics.val_loss must be a number"),
    "infinite": ({"test_loss": "inf"}, "metrics.test_loss must be a number"),
    "101 percent": ({"best_acc": "101"}, "metrics.best_acc must be a number in 0 .. 100"),
    "half a seed": ({"seed": "1.5"}, "params.seed must be a whole number"),
    "scenario 5": ({"evaluation": "5"}, "params.evaluation must be a whole number in 1 .. 4"),
    "no time": ({"start_time": "yesterday"}, "start_time must be an ISO 8601 time"),
    "no model": ({"model": ""}, "params.model must not be empty"),
    "no id": ({"run_id": ""}, "must have a run_id"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_row_is_named_by_line_and_the_rest_imported(kind, lines, imported):
    values, reason = DAMAGES[kind]
    head, first, second, third = lines[:4]
    found, _ = imported([head, first, changed(second, head, **values), third])
    assert found.trials == 2
    [sentence] = found.left_out
    assert "export.csv line 3: " in sentence
    assert reason in sentence


def test_the_later_of_two_runs_of_one_seed_is_left_out(lines, imported):
    head, first, second = lines[:3]
    seed = "7"
    early = changed(second, head, seed=seed, start_time="2022-01-01 00:00:00")
    late = changed(first, head, seed=seed, start_time="2022-01-02 00:00:00")
    found, trials = imported([head, late, early])
    assert list(trials["point_id"]) == ["mlflow-" + second.split(",")[0]]
    assert "line 2: a point must come once" in found.left_out[0]


def test_a_stray_quote_costs_one_row_only(lines, imported):
    head, first, second, third = lines[:4]
    found, _ = imported([head, first, '"' + second, third])
    assert found.trials == 2
    assert "line 3: a row must be CSV; unexpected end of data" in found.left_out[0]


def test_a_by_scale_row_of_no_known_run_is_named(tmp_path, lines):
    (tmp_path / "few.csv").write_text("\n".join(lines[:3]))
    found = import_mlflow(str(tmp_path / "few.csv"), str(tmp_path), by_scale=str(BY_SCALE))
    assert found.by_scale + len(found.left_out) == 15
    assert all("must be one of the export's trials" in line for line in found.left_out)


def test_a_file_of_something_else_names_the_columns_it_lacks(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(AnalysisError, match=r"lacks run_id, status, start_time"):
        import_mlflow(str(tmp_path / "other.csv"), str(tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_a_truncated_archive_is_refused(tmp_path):
    (tmp_path / "cut.csv.gz").write_bytes(EXPORT.read_bytes()[:-200])
    with pytest.raises(AnalysisError, match="must be a whole file"):
        import_mlflow(str(tmp_path / "cut.csv.gz"), str(tmp_path / "results"))


def test_of_500_damaged_rows_each_is_imported_or_named(lines, imported):
    rng = random.Random(1)
    head, rows = lines[0], lines[1:]
    broken: list[str] = []
    for number in range(500):
        row = rows[number % len(rows)].replace(rows[number % len(rows)][:8], f"{number:08x}", 1)
        row = changed(row, head, seed=str(1000 + number))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(row))
            row = row[:place] + rng.choice(['"', ",", "x", "-", "\0", "é", ""]) + row[place + 1 :]
        broken.append(row)
    found, trials = imported([head, *broken])
    assert found.trials + len(found.left_out) == 500
    assert 0 < found.trials < 500
    assert len(trials) == found.trials


def test_the_shipped_summary_holds_176_cells_of_5500_runs():
    cells = published_summary()
    assert (len(cells), cells["seeds"].sum(), cells["collapsed"].sum()) == (176, 5500, 92)
    assert (cells["lr"] == 1e-2).sum() == 18


def test_the_shipped_summary_is_the_published_table_2():
    times = (
        published_summary()
        .query("scenario == 2")
        .set_index(["model", "dataset"])["last_train_seconds"]
    )
    assert times["standard"].round(4).to_dict() == {
        "emoji": 0.1149,
        "mnist": 1.2168,
        "trafficsign": 1.2601,
        "aerial": 0.7077,
    }
    assert times["slice_pool"].round(4).to_dict() == {
        "emoji": 7.2891,
        "mnist": 90.6547,
        "trafficsign": 86.3497,
        "aerial": 48.5904,
    }


TOP_THREE = {  # Fig. 4's nine models by mean
    (2, "emoji"): ["pixel_pool", "disco", "hermite"],
    (2, "mnist"): ["ensemble", "slice_pool", "pixel_pool"],
    (2, "trafficsign"): ["hermite", "disco", "slice_pool"],
    (2, "aerial"): ["ensemble", "pixel_pool", "xu"],
    (4, "emoji"): ["xu", "slice_pool", "ensemble"],
    (4, "mnist"): ["pixel_pool", "spatial_transform", "ensemble"],
    (4, "trafficsign"): ["hermite", "disco", "slice_pool"],
    (4, "aerial"): ["ensemble", "kanazawa", "hermite"],
}


@pytest.mark.parametrize("cell", TOP_THREE)
def test_the_best_three_models_are_the_published_ones(cell):
    cells = published_summary().set_index(["scenario", "dataset"]).loc[cell]
    nine = cells[~cells["model"].isin(["energy_pool", "conv3d"])]
    assert list(nine.sort_values("mean", ascending=False)["model"][:3]) == TOP_THREE[cell]
