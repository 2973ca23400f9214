import functools
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis import AnalysisError
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.figures import gallery
from analysis.report.page import inline
from analysis.report.report import report
from tune_jobs.point import Recipe

EXPORT = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"
SHORT = Recipe(max_epochs=30, patience=3)


@pytest.fixture
def page_of(tmp_path, put, monkeypatch):
    """The report page that some records give, with one figure only, to save time."""
    one = functools.partial(gallery.draw_figures, names=["generalization"])
    monkeypatch.setattr("analysis.report.report.draw_figures", one)

    def page_of(*records) -> str:
        put(tmp_path / "runs", *records)
        collect([str(tmp_path / "runs")], str(tmp_path / "results"))
        report(str(tmp_path / "results"), str(tmp_path))
        return (tmp_path / "report.html").read_text()

    return page_of


class Cells(HTMLParser):
    """The text of every table row of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def test_a_shortened_recipe_is_said_first_and_clearly(page_of, make_record):
    page = page_of(make_record(recipe=SHORT))
    words = "A shortened recipe: at most 30 epochs, patience 3, batches of 16 (1 trial)."
    assert page.index(words) < page.index("<figure")


@pytest.mark.parametrize("longer", [{"max_epochs": 300}, {"batch_size": 8}])
def test_another_recipe_that_is_not_shorter_is_not_called_so(longer, page_of, make_record):
    page = page_of(make_record(recipe=Recipe(**longer)), make_record())
    assert "Another recipe than the published one: at most" in page
    assert "(1 trial)" in page
    assert "shortened" not in page


def test_trials_that_report_up_to_a_divergence_are_of_another_recipe(page_of, make_record):
    page = page_of(make_record(recipe=Recipe(on_divergence="stop")), make_record())
    words = "Another recipe than the published one: at most 200 epochs, patience 10, batches of 16"
    assert f"{words}, reported up to a divergence (1 trial)." in page
    assert "Standard stop at divergence" in page


def test_the_published_recipe_is_not_called_shortened(page_of, make_record):
    assert "shortened" not in page_of(make_record())


def test_the_table_holds_mean_spread_and_count_by_cell(page_of, make_record):
    page = page_of(make_record(seed=1, correct=9), make_record(seed=2, correct=18))
    row = next(row for row in Cells(page).rows if row[:3] == ["Emoji", "Mid2Rest", "Standard"])
    assert row[3:7] == ["0.001", "2", "0", "37.5"]
    assert row[9:14] == ["Student's t", "17.7", "37.5", "25.0", "50.0"]


def test_where_it_ran_is_told(page_of, make_record):
    [row] = [row for row in Cells(page_of(make_record())).rows if row[:3] == ["ours", "lab", "cpu"]]
    assert "2.13.0" in row
    assert "2026-11-22 10:00" in row


def test_failed_points_are_listed_with_their_reason(page_of, make_record, make_failure):
    page = page_of(make_record(), make_failure(model="xu", error="Ran out of <memory>."))
    assert any(row[-1] == "Ran out of <memory>." for row in Cells(page).rows)
    assert "1 failed point" in page


def test_a_report_of_failures_only_is_still_a_report(page_of, make_failure):
    assert "0 finished trials" in page_of(make_failure())


def test_the_choice_between_two_learning_rates_is_told(page_of, make_record):
    page = page_of(make_record(lr=1e-2, valid_accuracy=0.5), make_record(lr=1e-3))
    assert "only 0.001 is reported" in page


def test_points_of_a_study_without_a_record_are_counted_and_their_cells_listed(
    page_of, make_record, make_phase
):
    record, missing = make_record(), make_record(model="disco", dataset="mnist", scenario=4)
    phase, more = make_phase(record, lr=1e-3), make_phase(missing, lr=1e-3)
    page = page_of(record, replace(phase, points=(*phase.points, *more.points)))
    assert "Study paper: 1 of 2 points have a record." in page
    assert ["MNIST", "All2All", "DISCO"] in Cells(page).rows


def test_trials_that_no_study_reports_are_counted(page_of, make_record, make_phase):
    fast, slow = make_record(lr=1e-2), make_record(lr=1e-3)
    page = page_of(fast, slow, make_phase(fast, slow, lr=1e-3))
    words = "In no mean: 1 finished trial is reported by no study (losing rates, searches)."
    assert words in page


def test_an_undecided_cell_of_a_study_is_told(page_of, make_record, make_phase):
    record = make_record()
    page = page_of(record, make_phase(record, lr=None, undecided="lr=0.01 seed=1 failed"))
    assert "reports none of its runs: lr=0.01 seed=1 failed." in page


def test_evaluations_have_a_table_and_without_any_the_command_is_told(
    page_of, make_record, make_evaluation
):
    record = make_record()
    assert "tune-jobs evaluate --storage STORAGE" in page_of(record)
    rows = Cells(page_of(make_evaluation(record, error=0.25, channels=()))).rows
    [head] = [row for row in rows if "Equivariance error" in row]
    values = dict(zip(head, rows[rows.index(head) + 1], strict=True))
    assert (values["Runs"], values["Equivariance error"], values["% undefined"]) == (
        "1",
        "0.25",
        "0.0",
    )
    assert values["from"] == values["r, stage 1"] == html.unescape("&ndash;")


def test_the_page_needs_no_network(page_of, make_record):
    page = page_of(make_record())
    page = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)  # a visit watches these
    outside = re.findall(r"""(?:src|href)=["'](?!#)[^"']*|url\((?!#)[^)]*|@import""", page)
    assert outside == []


def test_the_title_says_whose_results_these_are(page_of, make_record, tmp_path):
    assert "<title>STIR benchmark: our results</title>" in page_of(make_record())
    import_mlflow(str(EXPORT), str(tmp_path / "published"))
    report(str(tmp_path / "published"), str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "<title>STIR benchmark: the published results</title>" in page


def test_the_headline_is_made_from_the_numbers(page_of, make_record):
    strong = [make_record(model="disco", seed=seed, correct=30 + seed) for seed in (1, 2, 3)]
    weak = [make_record(model="xu", seed=seed, correct=n) for seed, n in ((1, 20), (2, 36))]
    page = page_of(*strong, *weak)
    assert (
        "DISCO is best on Emoji, Mid2Rest: 88.9 % [82.0, 95.8]; 3 of 3 seeds above the mean of Xu, "
        "which comes next with 77.8 %." in page
    )


def test_what_is_missing_is_one_folded_line(page_of, make_record, make_phase):
    record = make_record()
    phase = make_phase(record, make_record(seed=2), lr=1e-3)
    page = page_of(record, phase)
    [found] = re.findall(r"<details><summary>(points of [^<]*)</summary>", page)
    assert found.startswith("points of a study, ")
    assert '<p class="note">' not in page


def test_names_from_outside_cannot_inject_markup(page_of, make_record):
    page = page_of(make_record(model="<script>alert(1)</script>"))
    assert "<script>alert" not in page


def test_ids_in_two_drawings_on_a_page_do_not_clash():
    svg = '<svg width="9pt"><path id="a"/><use xlink:href="#a" clip-path="url(#a)"/></svg>'
    drawn = inline(svg, "one", label="One")
    assert 'id="one-a"' in drawn
    assert 'href="#one-a"' in drawn
    assert "url(#one-a)" in drawn


def test_results_without_trials_say_what_to_do(tmp_path):
    (tmp_path / "runs").mkdir()
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    with pytest.raises(AnalysisError, match="needs at least one trial"):
        report(str(tmp_path / "results"), str(tmp_path))
    assert not (tmp_path / "report.html").exists()
