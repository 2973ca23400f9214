"""The report in a real browser: no console error, and a click that sorts, a word that filters."""

import html
import json
import re
import shutil
import subprocess

import pytest

from analysis.collect import collect
from analysis.report import report

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
  .map((row) => row.cells[2].textContent + " " + row.cells[5].textContent);
const heads = [...table.tHead.rows[0].cells];
const mean = heads.find((head) => head.textContent === "Mean").querySelector("button");
const found = {width: document.documentElement.scrollWidth, view: window.innerWidth};
mean.click(); found.up = names();
mean.click(); found.down = names();
const filter = document.querySelector("input.filter");
filter.value = "xu emoji"; filter.dispatchEvent(new Event("input")); found.filtered = names();
filter.value = ""; filter.dispatchEvent(new Event("input")); found.all = names().length;
found.faults = faults;
const out = document.createElement("pre");
out.id = "found"; out.textContent = JSON.stringify(found);
document.body.append(out);
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


def acted(page, tmp_path, width: int) -> dict:
    """What the script saw in a window of that width (pixels)."""
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path}",
            f"--window-size={width},900",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_sorts_and_filters_without_a_fault_and_fits_its_window(page, tmp_path, width):
    found = acted(page, tmp_path, width)
    assert found["faults"] == []
    means = [float(name.split()[-1]) for name in found["up"]]
    assert means == sorted(means)
    assert found["down"] == found["up"][::-1]
    assert [name.rsplit(" ", 1)[0] for name in found["filtered"]] == ["Xu"]
    assert found["all"] == len(MODELS)
    assert found["width"] <= found["view"] + 1
