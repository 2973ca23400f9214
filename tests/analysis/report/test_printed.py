import csv
import io
from pathlib import Path

import pytest

from analysis import AnalysisError
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.report import printed
from analysis.results.folder import Frames

EXPORT = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Frames:
    results = tmp_path_factory.mktemp("results")
    import_mlflow(str(EXPORT), str(results))
    return Frames(str(results))


@pytest.fixture
def few(tmp_path, make_record, put) -> Frames:
    put(tmp_path / "runs", make_record(seed=1), make_record(model="xu", dataset="mnist"))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    return Frames(str(tmp_path / "results"))


def test_accuracies_stand_by_scenario_and_model_with_interval_and_seeds(frames):
    table = printed.accuracy(frames)
    assert table.head == ("Scenario", "Model", "Emoji")
    assert [row[1] for row in table.rows] == ["Standard", "Pixel Pool", "Energy Pool"]
    assert table.rows[0][2].startswith("38.8 [37.")
    assert table.rows[0][2].endswith("], n = 25")


def test_a_cell_without_runs_is_a_dash(few):
    table = printed.accuracy(few)
    assert table.rows == (
        ("Mid2Rest", "Standard", "25.0 [?, ?], n = 1", "-"),
        ("Mid2Rest", "Xu", "-", "25.0 [?, ?], n = 1"),
    )


@pytest.mark.parametrize("name", printed.TABLES)
def test_a_table_without_a_reported_run_says_how_many_are_not(
    name, tmp_path, make_record, make_failure, make_phase, put
):
    record = make_record()
    put(tmp_path / "runs", record, make_failure(seed=2), make_phase(record, lr=None, undecided="x"))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    words = r"1 finished trial is reported by no study \(losing rates, searches\)"
    with pytest.raises(AnalysisError, match=words):
        printed.TABLES[name](Frames(str(tmp_path / "results")))


def test_collapsed_runs_stand_beside_the_mean(tmp_path, make_record, put):
    put(tmp_path / "runs", make_record(seed=1), make_record(seed=2, valid_accuracy=0.03))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    table = printed.accuracy(Frames(str(tmp_path / "results")))
    assert table.rows[0][2].endswith("n = 2, 1 collapsed")


def test_times_are_those_of_all_epochs_and_in_brackets_of_the_last(frames):
    table = printed.epoch_time(frames)
    expected = frames.trials.query("model == 'standard'")
    mean, last = expected["epoch_seconds"].mean(), expected["last_epoch_seconds"].mean()
    assert table.rows[0] == ("Standard", f"{mean:.4f} ({last:.4f})")


def test_evaluations_stand_by_cell_and_say_what_does_not_apply(
    tmp_path, make_record, make_evaluation, put
):
    record = make_record(model="slice_pool", interpolation="bicubic")
    plain = [make_record(seed=seed) for seed in (1, 2)]
    of_plain = [make_evaluation(one, channels=(), error=float(one.point.seed)) for one in plain]
    put(tmp_path / "runs", *plain, *of_plain, record, make_evaluation(record))
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    table = printed.evaluations(Frames(str(tmp_path / "results")))
    assert table.rows[0][:4] == ("Emoji", "Mid2Rest", "Standard", "2")
    assert table.rows[0][4].startswith("1.50 [")
    assert table.rows[0][5:] == ("0.0", "-", "-", "-")
    assert table.rows[1][2:] == ("Slice Pool", "1", "0.50 [?, ?]", "0.0", "1.00", "1.00", "0.0")


def test_differences_cover_every_pair(frames):
    table = printed.differences(frames)
    assert [row[2:4] for row in table.rows] == [
        ("Standard", "Pixel Pool"),
        ("Standard", "Energy Pool"),
        ("Pixel Pool", "Energy Pool"),
    ]


def test_the_same_results_give_the_same_table_digit_for_digit(frames):
    again = Frames(frames.results)
    assert printed.csv(printed.accuracy(frames)) == printed.csv(printed.accuracy(again))


def test_one_cell_is_not_ranked(frames):
    with pytest.raises(AnalysisError, match="Ranks need"):
        printed.ranks(frames)


def test_markdown_has_as_many_bars_in_every_line(frames):
    lines = printed.markdown(printed.accuracy(frames)).splitlines()[2:]
    assert {line.count("|") for line in lines} == {4}
    assert lines[1] == "| --- | --- | --- |"


def test_latex_escapes_what_latex_would_read(few):
    table = printed.Printed("50 % & more", "a_b", ("x_1",), (("#$",),), few.trials)
    text = printed.latex(table)
    assert r"\caption{50 \% \& more. a\_b}" in text
    assert r"x\_1 \\" in text
    assert r"\#\$ \\" in text


def test_csv_holds_unrounded_fractions(frames):
    rows = list(csv.DictReader(io.StringIO(printed.csv(printed.accuracy(frames)))))
    standard = next(row for row in rows if row["model"] == "standard")
    assert float(standard["mean"]) == pytest.approx(0.38829861, abs=1e-8)
