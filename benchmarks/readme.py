"""Draw two pictures at the top of README: the times of steps, and the top of a report.

    python -m benchmarks.readme --report report.html

They are made of the table in docs/benchmarks-layers.md, and of a report that chromium takes a
picture of. The third, accuracy by object size, is that of the first reproduction.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

from matplotlib.figure import Figure
from playwright.sync_api import sync_playwright

from analysis.figures import canvas
from siconvnet.models.benchmark import PAPER

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "img"
TABLE = ROOT / "docs" / "benchmarks-layers.md"
PAGE = (1440, 1000)  # pixels of the report that are shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", metavar="HTML", help="a report to take a picture of")
    args = parser.parse_args()
    path = IMAGES / "step-time.svg"
    path.write_bytes(canvas.to_bytes(step_times(compiled_and_plain(TABLE.read_text())), "svg"))
    print(path.relative_to(ROOT))
    if args.report:
        print(picture(Path(args.report).resolve(), IMAGES / "report.png").relative_to(ROOT))
    return 0


def compiled_and_plain(page: str) -> dict[str, tuple[float, float]]:
    """Seconds of a step of each model of the paper, by the book and compiled, from the table."""
    rows = re.findall(r"^\| `(\w+)` \| 1 \| 1 \| ([\d.]+) \| [\d.]+ \| ([\d.]+) \|", page, re.M)
    if not rows:
        raise SystemExit(f"{TABLE.name} must have the table that benchmarks.layers prints.")
    paper = {spec.name for spec in PAPER}
    return {
        name: (float(plain), float(compiled)) for name, plain, compiled in rows if name in paper
    }


def step_times(seconds: dict[str, tuple[float, float]]) -> Figure:
    """A pair of bars a model on a logarithmic axis, and how many times the one is the other."""
    models = sorted(seconds, key=lambda model: seconds[model][0] / seconds[model][1])
    looks = canvas.model_styles(models)
    with canvas.house_style():
        figure = Figure(figsize=(5.6, 0.3 * len(models) + 0.8), layout="constrained")
        axes = figure.subplots()
        for place, model in enumerate(models):
            plain, compiled = seconds[model]
            axes.barh(place + 0.2, plain, height=0.36, color="0.75")
            axes.barh(place - 0.2, compiled, height=0.36, color=looks[model].colour)
            axes.text(plain * 1.08, place, times(plain / compiled), va="center", fontsize=8)
        axes.set_xscale("log")
        axes.set_xlabel("seconds of a training step, 16 images, one CPU thread")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.12)
        axes.set_yticks(range(len(models)), [looks[model].name for model in models])
        axes.set_title("grey: by the book, as published; colour: here", fontsize=8, loc="left")
    return figure


def times(ratio: float) -> str:
    """How many times, with two digits or all before the point: 4.6 x, 152 x."""
    return f"{ratio:.1f} x" if ratio < 10 else f"{ratio:.0f} x"


def picture(page: Path, path: Path) -> Path:
    """What a browser shows of the top of a report, once its charts are drawn."""
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        sheet = browser.new_page(bypass_csp=True, viewport={"width": PAGE[0], "height": PAGE[1]})
        sheet.goto(page.as_uri())
        sheet.wait_for_function("document.querySelectorAll('.marks').length >= 3", timeout=120_000)
        sheet.screenshot(path=path)
        browser.close()
    return path


if __name__ == "__main__":
    sys.exit(main())
