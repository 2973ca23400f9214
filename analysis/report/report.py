"""One self-contained HTML page with everything a results folder holds."""

import shlex
from collections.abc import Callable
from importlib.resources import files
from string import Template

import pandas as pd
from matplotlib.figure import Figure

from analysis import style
from analysis.errors import AnalysisError
from analysis.figures import canvas
from analysis.figures.catalogue import CAPTIONS
from analysis.figures.gallery import draw_figures
from analysis.report import page, renderers, tables
from analysis.report.notes import notes
from analysis.report.table import Column, Table, counted, number, short, time, whole
from analysis.results.cells import CELL, in_order
from analysis.results.folder import ResultsFolder
from analysis.text import as_html
from tune_jobs.storage import Storage


def report(
    results: str,
    out: str,
    *,
    source: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Draw every figure and write ``report.html``; returns the keys written under ``out``.

    ``progress`` is called with the number of figures drawn and to draw.
    """
    folder, store = ResultsFolder(results, source), Storage(out)
    if folder.chosen.empty:
        raise AnalysisError(
            f"A report needs at least one trial; {results} holds none. "
            "Run a study, then: stir-analysis collect --storage STORAGE --out RESULTS"
        )
    keys: list[str] = []
    drawings: list[str] = []
    missing: list[str] = []
    figures = draw_figures(folder) if len(folder.reported) else ()
    for done, (name, figure) in enumerate(figures, start=1):
        if isinstance(figure, AnalysisError):
            missing.append(f"<p>{as_html(CAPTIONS[name].title)}: {as_html(str(figure))}</p>")
        else:
            keys += canvas.save(figure, store, name)
            drawings.append(_drawing(name, figure, results))
        if progress:
            progress(done, len(CAPTIONS))
    sections = {
        "": "".join(map(page.note, notes(folder))),
        "Figures": "".join(drawings),
        "Figures that these results do not allow": "".join(missing),
        **_tables(folder),
        "How to make this page again": _command(results, out, source),
    }
    body = "\n".join(page.section(title, text) for title, text in sections.items())
    template = Template(files("analysis.report").joinpath("page.html").read_text("utf-8"))
    html = template.substitute(summary=_summary(folder.chosen), body=body)
    store.write("report.html", html.encode())
    return [*keys, "report.html"]


def _drawing(name: str, figure: Figure, results: str) -> str:
    return page.drawing(
        name,
        title=CAPTIONS[name].title,
        caption=CAPTIONS[name].caption,
        svg=canvas.to_svg(figure),
        command=f"stir-analysis figures {name} --results {shlex.quote(results)}",
    )


def _summary(trials: pd.DataFrame) -> str:
    finished = int((trials["status"] == "finished").sum())
    counts = [
        counted(finished, "finished trial"),
        counted(trials["model"].nunique(), "model"),
        counted(trials["dataset"].nunique(), "dataset"),
        counted(trials["scenario"].nunique(), "scenario"),
    ]
    failed = len(trials) - finished
    return ", ".join(counts) + (f"; {counted(failed, 'failed point')}" if failed else "")


def _tables(folder: ResultsFolder) -> dict[str, str]:
    """The tables of the page by heading; in place of one that cannot be made, why not."""
    found: dict[str, str] = {}
    for heading, make in _MADE_OF.items():
        try:
            table = make(folder)
        except AnalysisError as error:
            if heading not in _LEFT_OUT:
                found[heading] = f"<p>{as_html(str(error))}</p>"
            continue
        found[heading] = renderers.html(table)
        if make is tables.differences:
            pairs = counted(len(table.frame), "pair")
            found[heading] = f"<details><summary>{pairs}</summary>{found[heading]}</details>"
    for table in (_gaps(folder), _machines(folder.chosen), _failures(folder.chosen)):
        if len(table.frame):
            found[table.title] = renderers.html(table)
    return found


_MADE_OF = {
    "Test accuracy": tables.accuracy,
    "Differences between models": tables.differences,
    "Evaluations of trained weights": tables.evaluations,
    "Ours against the published results": tables.comparison,
}
_LEFT_OUT = ("Test accuracy", "Differences between models")  # where they cannot be made


def _gaps(folder: ResultsFolder) -> Table:
    """Cells without a run: of studies, and of models and datasets that have some elsewhere."""
    trials = folder.chosen
    cells = trials[["dataset", "scenario"]].drop_duplicates()
    wanted = cells.merge(pd.DataFrame({"model": trials["model"].unique()}), how="cross")
    if "ours" in set(trials["source"]):
        wanted = pd.concat([wanted, folder.grid_points[CELL]]).drop_duplicates(CELL)
    done = trials.loc[trials["status"] == "finished", ["dataset", "scenario", "model"]]
    left = wanted.merge(done.drop_duplicates(), how="left", indicator=True)
    missing = left[left["_merge"] == "left_only"]
    styles = style.model_styles(missing["model"])
    return Table(
        "Cells without a finished run",
        "Of the studies, and of models and datasets that have runs elsewhere.",
        in_order(missing) if len(missing) else missing,
        tables.cell_columns(styles),
        styles=styles,
    )


def _machines(trials: pd.DataFrame) -> Table:
    """Where the trials ran, and with which software."""
    where = ["source", "host", "device", "threads", "code_version", "git_sha", "torch_version"]
    machines = (
        trials.groupby([*where, "ray_version"], dropna=False)
        .agg(
            trials=("point_id", "size"),
            resumed=("resumed", lambda counts: int((counts > 0).sum())),
            hours=("wall_seconds", lambda seconds: seconds.sum() / 3600),
            first=("started_at", "min"),
            last=("finished_at", "max"),
        )
        .reset_index()
    )
    columns = {
        "source": Column("Source"),
        "host": Column("Host"),
        "device": Column("Device"),
        "threads": number("Threads", whole),
        "trials": number("Trials", str),
        "resumed": number("Resumed", str),
        "hours": number("Hours of trials", lambda hours: f"{hours:.2f}"),
        "first": Column("First start (UTC)", time),
        "last": Column("Last end (UTC)", time),
        "code_version": Column("Code"),
        "git_sha": Column("Git", lambda sha: str(sha)[:10]),
        "torch_version": Column("PyTorch"),
        "ray_version": Column("Ray"),
    }
    return Table(
        "What ran where",
        "Resumed trials went on from a checkpoint. Hours are those of trials, several of which may "
        "share a machine.",
        machines,
        columns,
    )


def _failures(trials: pd.DataFrame) -> Table:
    """The failed points and why they failed."""
    failed = trials[trials["status"] == "failed"]
    styles = style.model_styles(failed["model"])
    columns = {
        "point_id": Column("Point"),
        **tables.cell_columns(styles),
        "lr": number("Learning rate", short),
        "seed": number("Seed", str),
        "error": Column("Why"),
    }
    return Table(
        "Failed",
        "Points whose last attempt failed; they are in no mean.",
        failed,
        columns,
        styles=styles,
    )


def _command(results: str, out: str, source: str | None) -> str:
    parts = ["stir-analysis", "report", "--results", results, "--out", out]
    parts += ["--source", source] if source else []
    return f"<pre>{as_html(shlex.join(parts))}</pre>"
