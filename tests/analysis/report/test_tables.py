import csv
import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.report import renderers, tables
from analysis.report.table import Column, Table
from analysis.results.folder import ResultsFolder

EXPORT = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> ResultsFolder:
    results = tmp_path_factory.mktemp("results")
    import_mlflow(str(EXPORT), str(results))
    return ResultsFolder(str(results))


@pytest.fixture
def folder_of(tmp_path, put):
    def folder_of(*things) -> ResultsFolder:
        put(tmp_path / "runs", *things)
        collect([str(tmp_path / "runs")], str(tmp_path / "results"))
        return ResultsFolder(str(tmp_path / "results"))

    return folder_of


def test_accuracies_stand_by_scenario_and_model_with_interval_and_seeds(folder):
    head, rows = renderers.texts(tables.accuracy(folder))
    assert head == ("Scenario", "Model", "Emoji")
    assert [row[1] for row in rows] == ["Standard", "Pixel Pool", "Energy Pool"]
    assert rows[0][2].startswith("38.8 [37.")
    assert rows[0][2].endswith("], n = 25")


def test_a_cell_without_runs_is_a_dash(folder_of, make_record):
    few = folder_of(make_record(seed=1), make_record(model="xu", dataset="mnist"))
    _, rows = renderers.texts(tables.accuracy(few))
    assert rows == (
        ("Mid2Rest", "Standard", "25.0 [?, ?], n = 1", "-"),
        ("Mid2Rest", "Xu", "-", "25.0 [?, ?], n = 1"),
    )


@pytest.mark.parametrize("name", [name for name in tables.TABLES if name != "comparison"])
def test_a_table_without_a_reported_run_says_how_many_are_not(
    name, folder_of, make_record, make_failure, make_phase
):
    record = make_record()
    folder = folder_of(record, make_failure(seed=2), make_phase(record, lr=None, undecided="x"))
    said = r"1 finished trial is reported by no study \(losing rates, searches\)"
    with pytest.raises(AnalysisError, match=said):
        tables.TABLES[name](folder)


def test_collapsed_runs_stand_beside_the_mean(folder_of, make_record):
    folder = folder_of(make_record(seed=1), make_record(seed=2, valid_accuracy=0.03))
    _, [row] = renderers.texts(tables.accuracy(folder))
    assert row[2].endswith("n = 2, 1 collapsed")


def test_times_are_those_of_training_in_all_epochs_and_in_brackets_of_the_last(folder):
    _, rows = renderers.texts(tables.epoch_time(folder))
    expected = folder.trials.query("model == 'standard'")
    mean, last = expected["train_seconds"].mean(), expected["last_train_seconds"].mean()
    assert rows[0] == ("Standard", f"{mean:.4f} ({last:.4f})")


def test_evaluations_stand_by_cell_and_say_what_does_not_apply(
    folder_of, make_record, make_evaluation
):
    record = make_record(model="slice_pool", interpolation="bicubic")
    plain = [make_record(seed=seed) for seed in (1, 2)]
    of_plain = [make_evaluation(one, channels=(), error=float(one.point.seed)) for one in plain]
    folder = folder_of(*plain, *of_plain, record, make_evaluation(record))
    _, rows = renderers.texts(tables.evaluations(folder))
    assert rows[0][:6] == ("Emoji", "Mid2Rest", "Standard", "2", "0", "1.50")
    assert rows[0][8:] == ("0.0", "-", "-", "-")
    assert rows[1][2:6] == ("Slice Pool", "1", "0", "0.50")
    assert rows[1][6:] == ("-", "-", "0.0", "1.00", "1.00", "0.0")


def test_differences_cover_every_pair(folder):
    _, rows = renderers.texts(tables.differences(folder))
    assert [row[2:4] for row in rows] == [
        ("Standard", "Pixel Pool"),
        ("Standard", "Energy Pool"),
        ("Pixel Pool", "Energy Pool"),
    ]


def test_the_same_results_give_the_same_table_digit_for_digit(folder):
    again = ResultsFolder(folder.uri)
    assert renderers.csv(tables.accuracy(folder)) == renderers.csv(tables.accuracy(again))


def test_one_cell_is_not_ranked(folder):
    with pytest.raises(AnalysisError, match="Ranks need"):
        tables.ranks(folder)


def test_all_media_show_the_same_values_under_the_same_headings(folder):
    table = replace(tables.differences(folder), note="")
    head, rows = renderers.texts(table)
    page = renderers.html(table)
    for text in (*head, *(cell for row in rows for cell in row)):
        assert text.replace("'", "&#x27;") in page
        assert text in renderers.markdown(table)
        assert text in renderers.latex(table)


def test_markdown_has_as_many_bars_in_every_line(folder):
    lines = renderers.markdown(tables.accuracy(folder)).splitlines()[2:]
    assert {line.count("|") for line in lines} == {4}
    assert lines[1] == "| --- | --- | --- |"


def test_csv_holds_unrounded_fractions(folder):
    rows = list(csv.DictReader(io.StringIO(renderers.csv(tables.accuracy(folder)))))
    standard = next(row for row in rows if row["model"] == "standard")
    assert float(standard["mean"]) == pytest.approx(0.38829861, abs=1e-8)


@pytest.mark.parametrize(
    ("render", "name", "shown"),
    [
        (renderers.markdown, "a|b", r"| a\|b |"),
        (renderers.markdown, "a\nb", "| a b |"),
        (renderers.markdown, "*x*`y`<b>", r"| \*x\*\`y\`\<b\> |"),
        (renderers.markdown, "[x](http://y)", r"| [x\](http://y) |"),
        (renderers.markdown, "a\x1b[31m", r"| a\\x1b[31m |"),
        (renderers.latex, "50 % & #$_{}", r"50 \% \& \#\$\_\{\} \\"),
        (renderers.latex, r"\input{x}~^", r"\textbackslash{}input\{x\}\textasciitilde{}"),
        (renderers.latex, "[2cm] x", r"    {[}2cm] x \\"),
        (renderers.latex, "a\x00<", r"a\textbackslash{}x00\textless{}"),
        (renderers.html, "<script>", "<td>&lt;script&gt;</td>"),
        (renderers.html, '"\x08&', r"<td>&quot;\x08&amp;</td>"),
        (renderers.html, "a\u202eb", r"<td>a\u202eb</td>"),
    ],
)
def test_names_are_escaped_for_their_medium(render, name, shown):
    frame = pd.DataFrame({"name": [name]})
    assert shown in render(Table("Names", "All.", frame, {"name": Column("Name")}))


def test_a_long_latex_table_runs_over_pages_with_its_head_on_each():
    rows = pd.DataFrame({"model": [f"m_{n}" for n in range(41)]})
    long = Table("Many", "All of them.", rows, {"model": Column("Model")})
    text = renderers.latex(long)
    assert text.startswith("\\begin{longtable}{l}")
    assert text.count("Model \\\\") == 2
    assert text.index("\\endfirsthead") < text.index("\\endhead") < text.index("m\\_0")
    assert text.count("m\\_") == 41
    assert text.endswith("\\end{longtable}\n")
    short = replace(long, frame=rows.head(40))
    assert renderers.latex(short).startswith("\\begin{table}")
