"""A visit to the report in a real browser: what a reader clicks, hovers over and takes away."""

import csv
import functools
import io
import itertools
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

import analysis
from analysis import style
from analysis.charts import specs
from analysis.charts.looks import looks_of
from analysis.collection.collect import collect
from analysis.figures import gallery
from analysis.report.report import report
from tune_jobs.point import GridPoint, Recipe
from tune_jobs.records.keys import outcome_key, samples_key
from tune_jobs.records.search import Sample, SearchOutcome, samples_to_lines
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
MODELS = ["standard", "ensemble", "xu", "kanazawa", "hermite", "disco", "slice_pool", "mine"]
OVERVIEW = "#figure-overview .live"
HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "'\"]}; window.hacked = 1; <!--",
    "${window.hacked = 1}",
    "__proto__",
    "datum['x'](window.hacked = 1)",
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def make_page(tmp_path_factory, put):
    """The report of some records, with two drawn figures only, to save time; its folder."""

    def make_page(*records) -> Path:
        folder = tmp_path_factory.mktemp("page")
        put(folder / "runs", *records)
        collect([str(folder / "runs")], str(folder / "results"))
        few = functools.partial(gallery.draw_figures, names=["overview", "generalization", "boxes"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("analysis.report.report.draw_figures", few)
            report(str(folder / "results"), str(folder))
        return folder

    return make_page


@pytest.fixture(scope="module")
def folder(make_page, make_record) -> Path:
    """Eight models on emoji with two seeds each, three of them on mnist."""
    return make_page(
        *(
            make_record(model=model, correct=4 * ((3 * place) % 8) + seed, seed=seed)
            for place, model in enumerate(MODELS)
            for seed in (1, 2)
        ),
        *(make_record(model=model, dataset="mnist", correct=30) for model in MODELS[:3]),
    )


class Visit:
    """A page in a window, and every fault that it reports."""

    def __init__(self, context, address: str) -> None:
        self.faults: list[str] = []
        self.asked: list[str] = []  # addresses
        self.page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._listen)
        self.page.on("request", lambda request: self.asked.append(request.url.partition(":")[0]))
        self.page.goto(address)

    def _listen(self, message) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def seen(self, selector: str) -> list[str]:
        return self.page.locator(f"{selector} >> visible=true").all_inner_texts()

    def downloaded(self, label: str) -> bytes:
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name=label, exact=True).click()
        return Path(download.value.path()).read_bytes()


@pytest.fixture
def visit(browser) -> Iterator:
    contexts = []

    def visit(folder: Path, hash: str = "", *, width: int = 1280, **options) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        return Visit(context, (folder / "report.html").as_uri() + hash)

    yield visit
    for context in contexts:
        context.close()


AXES = """() => [...document.querySelectorAll(".live svg")].flatMap((svg) => {
  const end = svg.getBoundingClientRect().right;
  return [...svg.querySelectorAll(".mark-text.role-axis-label")].map((axis) =>
    [...axis.querySelectorAll("text")].filter((label) =>
      label.textContent && getComputedStyle(label).opacity !== "0"
    ).map((label) => {
      const { left, right, top } = label.getBoundingClientRect();
      return { text: label.textContent, left, right, top, end };
    }));
})"""


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_labels_along_an_axis_lie_apart_differ_and_are_whole(visit, folder, width):
    page = visit(folder, width=width).page
    charts = page.locator(".live")
    for place in range(charts.count()):
        if charts.nth(place).is_visible():
            charts.nth(place).scroll_into_view_if_needed()
            expect(charts.nth(place).locator("svg").first).to_be_attached()
    across = [axis for axis in page.evaluate(AXES) if len({label["top"] for label in axis}) == 1]
    assert len(across) >= 4
    for axis in across:
        axis.sort(key=lambda label: label["left"])
        assert len({label["text"] for label in axis}) == len(axis)
        for one, two in itertools.pairwise(axis):
            assert one["right"] + 4 < two["left"]
        assert axis[-1]["right"] <= axis[-1]["end"] + 1


def test_a_visit_chooses_hides_hovers_zooms_and_takes_the_numbers_away(folder, visit):
    here = visit(folder)
    page = here.page
    page.get_by_label("Dataset", exact=True).select_option("mnist")
    assert "dataset=mnist" in page.url
    assert here.seen(".headline")[0].startswith("Standard is best on MNIST, Mid2Rest: 83.3 %")
    page.get_by_label("Dataset", exact=True).select_option("emoji")

    chart = page.locator(OVERVIEW)
    chart.get_by_text("Hermite", exact=True).wait_for()
    page.get_by_role("button", name="Hermite", exact=True).click()
    chart.get_by_text("Hermite", exact=True).wait_for(state="hidden")
    assert chart.get_by_text("DISCO", exact=True).is_visible()
    assert "hide=hermite" in page.url

    page.locator(f"{OVERVIEW} .mark-symbol path").first.hover()
    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    told = tip.inner_text()
    assert "Mean" in told
    assert "Seeds" in told
    assert "Collapsed" in told

    labels = chart.locator(".role-axis-label text")
    before = labels.all_text_contents()
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Shift")
    expect(labels).not_to_have_text(before)

    text = here.downloaded("The whole table, unrounded, as CSV: accuracy").decode()
    taken = {(row["dataset"], row["model"]): row for row in csv.DictReader(io.StringIO(text))}
    means = analysis.query(
        "select dataset, model, avg(test_accuracy) as mean from reported group by all",
        folder / "results",
    )
    assert len(taken) == len(means) == 11
    for row in means.to_dict("records"):
        assert float(taken[row["dataset"], row["model"]]["mean"]) == row["mean"]
    assert here.faults == []
    assert set(here.asked) <= {"file", "blob", "data"}


def test_a_figures_numbers_are_those_of_the_tables_and_only_what_is_shown(folder, visit):
    here = visit(folder, "#dataset=emoji&scenario=2&hide=xu")
    text = here.downloaded("Test accuracy by object scale: the numbers shown, as CSV").decode()
    taken = list(csv.DictReader(io.StringIO(text)))
    assert {row["model"] for row in taken} == {*MODELS} - {"xu"}
    means = analysis.query(
        "select model, scale, avg(accuracy) as mean from reported join scale_accuracy "
        "using (point_id) where dataset = 'emoji' group by all",
        folder / "results",
    )
    expected = {(row["model"], row["scale"]): row["mean"] for row in means.to_dict("records")}
    assert len(taken) == 7 * 48
    for row in taken:
        assert float(row["mean"]) == pytest.approx(expected[row["model"], int(row["scale"])], 1e-15)


def test_the_address_says_what_is_shown_and_links_within_the_page_keep_it(folder, visit):
    here = visit(folder, "#dataset=mnist&scenario=2&hide=xu")
    assert here.page.get_by_label("Dataset", exact=True).input_value() == "mnist"
    xu = here.page.get_by_role("button", name="Xu", exact=True)
    assert xu.get_attribute("aria-pressed") == "false"
    here.page.get_by_role("link", name="Side by side").click()
    assert here.page.url.endswith("#dataset=mnist&scenario=2&hide=xu")
    assert here.page.evaluate("document.activeElement.textContent") == "Side by side"


def test_an_address_that_names_nothing_known_shows_the_first(folder, visit):
    here = visit(folder, "#dataset=nothing&scenario=9&hide=nobody&a=r:none")
    assert here.page.get_by_label("Dataset", exact=True).input_value() == "emoji"
    assert here.faults == []


def test_drawings_and_charts_are_taken_away_as_svg_and_png(folder, visit):
    here = visit(folder)
    here.page.wait_for_selector(f"{OVERVIEW} svg")
    svg = here.downloaded("Test accuracy at a glance as SVG").decode()
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "var(" not in svg
    assert here.downloaded("Test accuracy at a glance as PNG").startswith(b"\x89PNG")
    here.page.locator("#figure-overview summary").click()
    printed = here.downloaded("Test accuracy at a glance, as printed, as SVG").decode()
    assert "var(" not in printed
    assert here.faults == []


def test_two_runs_stand_side_by_side_with_what_differs(folder, visit):
    here = visit(folder)
    page = here.page
    page.get_by_label("A: model").select_option("disco")
    page.get_by_label("A: run").select_option(index=1)
    page.get_by_label("B: model").select_option("disco")
    page.get_by_label("B: run").select_option(index=2)
    rows = [row.split("\t") for row in here.seen("#pair tr")]
    assert rows[0] == ["Differs in", "A: DISCO, seed 1", "B: DISCO, seed 2"]
    assert ["seed", "1", "2"] in rows
    assert [row[0] for row in rows] == ["Differs in", "seed", "test accuracy (0..1)"]
    page.wait_for_selector("#pair .live svg")
    assert "a=r" in page.url
    assert here.faults == []


def test_a_run_that_is_clicked_is_set_beside_another(folder, visit):
    here = visit(folder)
    here.page.locator("#figure-boxes .live .mark-symbol path").first.click()
    expect(here.page).to_have_url(re.compile("a=r"))
    assert "seed" in here.seen("#pair tr")[0]


def test_the_keyboard_reaches_the_legend_and_a_reader_is_told_what_charts_show(folder, visit):
    here = visit(folder)
    xu = here.page.get_by_role("button", name="Xu", exact=True)
    xu.focus()
    here.page.keyboard.press("Space")
    assert xu.get_attribute("aria-pressed") == "false"
    here.page.wait_for_selector(f"{OVERVIEW} svg")
    told = here.page.locator(f"{OVERVIEW} svg").get_attribute("aria-label")
    assert told.startswith("Test accuracy at a glance, Emoji, Mid2Rest: ")
    assert "Xu" not in told
    printed = here.page.locator("#figure-overview .printed svg").get_attribute("aria-label")
    assert "Best mean test accuracies: Emoji, Mid2Rest: " in printed


@pytest.mark.parametrize("width", [1440, 800, 390])
def test_the_page_sorts_and_filters_without_a_fault_and_fits_its_window(width, folder, visit):
    here = visit(folder, width=width)
    table = here.page.locator("#accuracy")

    def column(title: str) -> list[str]:
        place = here.page.locator("#accuracy th").all_text_contents().index(title) + 1
        return here.page.locator(
            f"#accuracy tbody tr:visible td:nth-child({place})"
        ).all_inner_texts()

    mean = table.get_by_role("button", name="Mean", exact=True)
    mean.click()
    up = [float(one) for one in column("Mean")]
    assert len(up) == len(MODELS)
    assert up == sorted(up)
    mean.click()
    assert [float(one) for one in column("Mean")] == up[::-1]
    assert "1 row" in here.seen("[role=status]")
    here.page.get_by_placeholder("Filter rows").first.fill("xu")
    assert column("Model") == ["Xu"]
    here.page.get_by_placeholder("Filter rows").first.fill("")
    here.page.get_by_label("only the dataset and scenario chosen above").first.uncheck()
    assert len(column("Model")) == 11
    assert here.page.evaluate("document.documentElement.scrollWidth") <= width
    assert here.faults == []


def test_in_the_dark_the_page_is_dark_and_its_drawings_are_light(folder, visit):
    here = visit(folder, color_scheme="dark")
    here.page.wait_for_selector(f"{OVERVIEW} svg")
    assert (
        here.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 27)"
    )
    here.page.locator("#figure-overview summary").click()
    fills = here.page.evaluate(
        "[...new Set([...document.querySelectorAll('.printed svg use, .live svg text')]"
        ".map((glyph) => getComputedStyle(glyph).fill))]"
    )
    assert "rgb(233, 233, 238)" in fills  # text
    assert "rgb(27, 27, 31)" not in fills  # text on paper


def test_symbols_in_a_legend_are_as_dark_or_light_as_the_page():
    spec = specs.differences(looks_of(style.model_styles(["standard"])), margin=0.03)
    legend = spec["config"]["legend"]
    assert (legend["symbolFillColor"], legend["symbolStrokeColor"]) == 2 * ("var(--quiet)",)


def test_without_scripts_all_figures_and_rows_are_there(folder, visit):
    here = visit(folder, java_script_enabled=False)
    assert here.page.locator("figure svg >> visible=true").count() == 3
    assert len(here.seen("#accuracy tbody tr")) == 11
    assert "is best on Emoji, Mid2Rest" in here.seen(".headline")[0]


def test_names_from_records_do_nothing_but_stand_there(make_page, make_record, visit):
    records = [make_record(model=name, interpolation="bicubic") for name in HOSTILE]
    folder = make_page(*records, make_record(model="xu", dataset=HOSTILE[1]))
    here = visit(folder)
    page = here.page
    page.wait_for_selector(f"{OVERVIEW} svg")
    for mark in page.locator(f"{OVERVIEW} .mark-symbol path").all():
        mark.hover()
    page.get_by_label("Dataset", exact=True).select_option(HOSTILE[1])
    page.get_by_label("Dataset", exact=True).select_option("emoji")
    here.downloaded("Test accuracy at a glance as SVG")
    names = set(page.locator(".legend button").all_text_contents())
    assert {*HOSTILE} <= names
    assert page.evaluate("window.hacked") is None
    assert here.faults == []


def test_the_page_allows_no_script_but_its_own(folder, visit):
    here = visit(folder)
    image = "<img src=x onerror='window.hacked = 1'>"
    with here.page.expect_console_message(lambda said: "inline event handler" in said.text):
        here.page.evaluate("image => document.body.insertAdjacentHTML('beforeend', image)", image)
    assert here.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in fault for fault in here.faults)


def test_a_search_is_shown_by_its_samples_and_by_what_mattered(tmp_path, visit):
    runs = Storage(tmp_path / "runs")
    rates = {1: 1e-4, 2: 1e-3, 3: 1e-2, 4: 1e-1}
    samples = [sample_of(number, lr) for number, lr in rates.items()]
    runs.write(samples_key("wide"), samples_to_lines(samples))
    for one in samples:
        runs.write(outcome_key("wide", one.point_id), outcome_of(one).to_json())
    collect([runs.uri], str(tmp_path / "results"))
    report(str(tmp_path / "results"), str(tmp_path))
    here = visit(tmp_path)
    charts = here.page.locator(".search .live svg")
    charts.first.wait_for()
    told = [chart.get_attribute("aria-label") for chart in charts.all()]
    assert told[0].startswith(
        "4 samples with an outcome; the best, number 4, had learning rate 0.1"
    )
    assert told[1].endswith("best validation accuracy: learning rate 1.00.")
    assert len(here.seen("#search-wide tbody tr")) == 4
    text = here.downloaded("The whole table, unrounded, as CSV: search-wide").decode()
    taken = list(csv.DictReader(io.StringIO(text)))
    kept = analysis.load("searches", tmp_path / "results").set_index("sample")
    for row in taken:
        assert float(row["lr"]) == kept.loc[int(row["sample"]), "lr"]
    assert here.faults == []


def sample_of(number: int, lr: float) -> Sample:
    point = GridPoint(
        model="standard", dataset="emoji", scenario=2, kernel_size=7,
        interpolation=None, lr=lr, seed=1,
    )  # fmt: skip
    return Sample(
        study="wide", number=number, point_id=f"{number:012}", drawn={"lr": lr},
        point=point, recipe=Recipe(),
    )  # fmt: skip


def outcome_of(sample: Sample) -> SearchOutcome:
    return SearchOutcome(
        study="wide",
        point_id=sample.point_id,
        status=TrialState.FINISHED,
        reason="",
        valid_accuracies=(0.2 * sample.number,),
        test_accuracy=0.1 * sample.number,
        ended_at="2026-11-23T00:00:00.000+00:00",
    )
