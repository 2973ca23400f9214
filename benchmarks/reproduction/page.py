"""The page of the first reproduction, with its tables and figures, from the archived records."""

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from matplotlib.figure import Figure

from analysis import style
from analysis.collection.collect import collect
from analysis.figures import canvas
from analysis.figures.comparison import comparison
from analysis.figures.generalization import generalization
from analysis.report.report import report
from analysis.results.comparison import MARGIN
from analysis.results.folder import ResultsFolder
from benchmarks.reproduction import claims, cost
from benchmarks.reproduction.archive import unpack
from benchmarks.reproduction.prose import joined
from stir.terminal import counted
from tune_jobs.storage import Storage

TABLES = ("trials", "epochs", "scale_accuracy", "evaluations")
STORAGE = "storage"  # where the study ran
UNDISTURBED = "undisturbed"  # trials of it that were cut off there, run again in one piece
RECORDS = "records.tar.xz"


def write_page(folder: Path) -> list[str]:
    """Make ``folder``'s page, figures, tables and report from its records.

    Returns the names of the files written.
    """
    target = Storage(folder)
    with results_of(folder / RECORDS) as (results, again):
        written = [_placed(target, "index.md", page(results, again, folder).encode())]
        for name, figure in _figures(results).items():
            written.append(_placed(target, f"{name}.svg", canvas.to_svg(figure).encode()))
        for name in TABLES:
            source = Path(results.uri) / f"{name}.parquet"
            written.append(_placed(target, f"tables/{name}.parquet", source.read_bytes()))
        report(results.uri, results.uri)
        html = (Path(results.uri) / "report.html").read_text("utf-8")
        html = html.replace(results.uri, "results")  # what its commands would name elsewhere
        written.append(_placed(target, "report.zip", _zipped("report.html", html)))
    return written


@contextmanager
def results_of(archive: Path) -> Iterator[tuple[ResultsFolder, ResultsFolder]]:
    """The tables of the study and those of the trials that were run again in one piece."""
    with tempfile.TemporaryDirectory() as scratch:
        unpack(archive, Path(scratch))
        found: list[ResultsFolder] = []
        for name in (STORAGE, UNDISTURBED):
            out = Path(scratch, "results", name)
            collect([str(Path(scratch, name))], str(out))
            found.append(ResultsFolder(str(out)))
        yield found[0], found[1]


def page(results: ResultsFolder, again: ResultsFolder, folder: Path) -> str:
    """The page's text."""
    forecast = json.loads((folder / "forecast.json").read_text("utf-8"))
    template = Template((Path(__file__).parent / "page.md").read_text("utf-8"))
    compared = claims.published_cells(results)
    return template.substitute(
        facts=_facts(results),
        cells=claims.cells_table(compared),
        verdicts=claims.verdicts(compared),
        order=claims.order(compared),
        sizes=claims.sizes(results),
        equivariance=claims.equivariance(results),
        ours=claims.own_models(results),
        resumed=cost.resumed(results, again),
        cost=cost.by_model(results, forecast),
        money=f"{cost.hours(results) * 0.02:.2f}",
        missing=cost.missing(results, forecast),
    )


def _figures(results: ResultsFolder) -> dict[str, Figure]:
    compared = claims.published_cells(results)
    scales = results.scales
    shown = (scales["dataset"] == "emoji") & (scales["scenario"] == claims.MID2REST)
    return {
        "comparison": comparison(compared, margin=MARGIN),
        "generalization": generalization(scales[shown]),
    }


def _facts(results: ResultsFolder) -> str:
    trials = results.reported
    models = counted(trials["model"].nunique(), "model")
    datasets = map(style.dataset_name, style.ordered(trials["dataset"], style.DATASETS))
    first, last = trials["started_at"].min(), trials["finished_at"].max()
    return (
        f"{counted(len(trials), 'run')} of {models} on {joined(datasets)}, "
        f"{first:%d %B} to {last:%d %B %Y}."
    )


def _zipped(name: str, text: str) -> bytes:
    """One file as an archive; the same text gives the same bytes."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr(ZipInfo(name), text, ZIP_DEFLATED)
    return buffer.getvalue()


def _placed(target: Storage, name: str, content: bytes) -> str:
    target.write(name, content)
    return name
