"""The report in a real browser: no console error, and a click that sorts, a word that filters."""

import html
import json
import re
import shutil
import subprocess

import pytest

from analysis.collection.collect import collect
from analysis.report.report import report

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
WATCH = """<script>
window.faults = [];
window.addEventListener("error", (event) => faults.push(event.message));
console.error = (...words) => faults.push(words.join(" "));
</script>"""
ACT = """<script>
const table = document.querySelector("table.data");
const names = () => [...table.tBodies[0].rows].filter((row) => !row.hidden)
  .map((row) => row.cells[2].textContent + " " + row.cells[6].textContent);
const heads = [...table.tHead.rows[0].cells];
const mean = heads.find((head) => head.textContent === "Mean").querySelector("button");
const found = {width: document.documentElement.scrollWidth, view: window.innerWidth};
mean.click(); found.up = names();
mean.click(); found.down = names();
const filter = document.querySelector("input.filter");
filter.value = "xu emoji"; filter.dispatchEvent(new Event("input")); found.filtered = names();
filter.value = ""; filter.dispatchEvent(new Event("input")); found.all = names().length;
found.faults = faults;
found.page = getComputedStyle(document.body).backgroundColor;
found.fills = [...new Set([...document.querySelectorAll("figure svg use")]
  .map((glyph) => getComputedStyle(glyph).fill))];
parent.postMessage(found, "*");
</script>"""
# A window is at least 500 pixels wide; a frame in it is as narrow as a phone.
FRAME = """<!doctype html><body style="margin: 0">
<iframe src="acted.html" style="border: 0; width: {width}px; height: 900px"></iframe>
<script>
window.addEventListener("message", (event) => {{
  const out = document.createElement("pre");
  out.id = "found"; out.textContent = JSON.stringify(event.data);
  document.body.append(out);
}});
</script>"""
MODELS = ["standard", "ensemble", "xu", "kanazawa", "hermite", "disco", "slice_pool", "mine"]


@pytest.fixture(scope="module")
def page(tmp_path_factory, make_record, put):
    """A report of eight models, with a script that acts on it and writes down what it sees."""
    folder = tmp_path_factory.mktemp("page")
    scores = {model: 4 * ((3 * place) % 8) + 1 for place, model in enumerate(MODELS)}
    put(folder / "runs", *(make_record(model=model, correct=n) for model, n in scores.items()))
    collect([str(folder / "runs")], str(folder / "results"))
    report(str(folder / "results"), str(folder))
    text = (folder / "report.html").read_text()
    text = text.replace("<title>", WATCH + "<title>").replace("</html>", ACT + "</html>")
    (folder / "acted.html").write_text(text)
    return folder / "acted.html"


def acted(page, tmp_path, width: int, *flags: str) -> dict:
    """What the script saw in a frame of that width (pixels)."""
    frame = page.with_name(f"{width}.html")
    frame.write_text(FRAME.format(width=width))
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path}",
            *flags,
            "--window-size=1400,900",
            "--virtual-time-budget=5000",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_sorts_and_filters_without_a_fault_and_fits_its_window(page, tmp_path, width):
    found = acted(page, tmp_path, width)
    assert found["faults"] == []
    means = [float(name.split()[-1]) for name in found["up"]]
    assert means == sorted(means)
    assert found["down"] == found["up"][::-1]
    assert [name.rsplit(" ", 1)[0] for name in found["filtered"]] == ["Xu"]
    assert found["all"] == len(MODELS)
    assert found["view"] == width
    assert found["width"] <= width


@needs_chromium
def test_in_the_dark_the_page_is_dark_and_its_drawings_are_light(page, tmp_path):
    found = acted(page, tmp_path, 1280, "--blink-settings=preferredColorScheme=0")
    assert found["page"] == "rgb(22, 23, 27)"
    assert "rgb(233, 233, 238)" in found["fills"]  # text
    assert "rgb(27, 27, 31)" not in found["fills"]  # text on paper
