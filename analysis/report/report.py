"""One self-contained HTML page with everything a results folder holds."""

import shlex
from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.figure import Figure

from analysis import style
from analysis.charts.charts import charts
from analysis.errors import AnalysisError
from analysis.figures import canvas
from analysis.figures.catalogue import CAPTIONS
from analysis.figures.gallery import draw_figures
from analysis.report import page, renderers, tables
from analysis.report.notes import notes, undecided, unfinished
from analysis.report.payload import packed, payload
from analysis.report.samples import samples
from analysis.report.table import Column, Table, number, short, time, whole
from analysis.report.words import alt_text
from analysis.results.cells import CELL, in_order
from analysis.results.folder import ResultsFolder
from analysis.text import as_html
from stir.terminal import counted
from tune_jobs.storage import Storage


def report(
    results: str,
    out: str,
    *,
    source: str | None = None,
    storage: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Draw every figure and write ``report.html``; returns the keys written under ``out``.

    Where there is a ``storage`` with predictions, sample test images are shown: see ``samples``.

    ``progress`` is called with the number of figures drawn and to draw.
    """
    folder, store = ResultsFolder(results, source), Storage(out)
    if folder.chosen.empty and folder.searches.empty:
        raise AnalysisError(
            f"A report needs at least one trial; {results} holds none. "
            "Run a study, then: stir-analysis collect --storage STORAGE --out RESULTS"
        )
    keys: list[str] = []
    drawings: dict[str, str] = {}
    missing: dict[str, str] = {}
    figures = draw_figures(folder) if len(folder.reported) else ()
    for done, (name, figure) in enumerate(figures, start=1):
        if isinstance(figure, AnalysisError):
            missing[CAPTIONS[name].title] = str(figure)
        else:
            keys += canvas.save(figure, store, name)
            drawings[name] = _drawing(name, figure, folder)
        if progress:
            progress(done, len(CAPTIONS))
    images, without = samples(folder, Storage(storage)) if storage else ("", [])
    missing |= dict.fromkeys(without, "")
    html = _page(folder, drawings, missing, images, _command(results, out, source, storage))
    store.write("report.html", html.encode())
    return [*keys, "report.html"]


def _page(
    folder: ResultsFolder,
    drawings: Mapping[str, str],
    missing: Mapping[str, str],
    images: str,
    command: str,
) -> str:
    """The page from its drawings, and from the reasons why there are not more of them."""
    found, without = _tables(folder)
    models = list(style.model_styles(folder.reported["model"])) if len(folder.reported) else []
    sections = {
        "": "".join(map(page.note, notes(folder))),
        "Figures": f'<div class="figures">{"".join(drawings.values())}</div>' if drawings else "",
        "Side by side": _SIDE_BY_SIDE if models else "",
        "Sample test images": images,
        "Searches": _searches(folder),
        **{
            table.title: _folded(table, renderers.html(table, name=name, models=models))
            for name, table in found.items()
        },
        "Missing": _missing(folder, {**missing, **without}),
        "How to make this page again": command,
    }
    charts_made = charts(folder) if models else ()
    frames = {name: table.frame for name, table in found.items()}
    frames |= {_search_id(name): one for name, one in folder.searches.groupby("study")}
    data = payload(folder, charts_made, frames)
    start = f"{data['start']['dataset']}/{data['start']['scenario']}"
    return page.page(
        title=_title(folder.chosen),
        headline=data["headlines"].get(start, ""),
        summary=_summary(folder.chosen),
        contents=page.contents(
            [heading for heading, body in sections.items() if heading and body],
            {name: CAPTIONS[name].title for name in drawings},
        ),
        body="\n".join(page.section(heading, body) for heading, body in sections.items()),
        data=packed(data),
    )


_SIDE_BY_SIDE = (
    '<div class="pair" id="pair"><p>Two models, or two runs of them, of the dataset and scenario '
    "chosen above: where their configurations differ, and their curves.</p>"
    "<noscript><p>This part needs scripts.</p></noscript></div>"
)


def _drawing(name: str, figure: Figure, folder: ResultsFolder) -> str:
    title = CAPTIONS[name].title
    return page.drawing(
        name,
        title=title,
        caption=CAPTIONS[name].text(folder.reported["model"]),
        alt=alt_text(name, title, folder),
        svg=canvas.to_svg(figure),
        command=f"stir-analysis figures {name} --results {shlex.quote(folder.uri)}",
    )


def _searches(folder: ResultsFolder) -> str:
    """Each search with all its samples, the best first."""
    parts: list[str] = []
    for study, search in folder.searches.groupby("study"):
        table = tables.samples(search)
        html = renderers.html(table, name=_search_id(study))
        name = as_html(str(study))
        parts.append(f'<h3>{name}</h3><div class="search" data-study="{name}"></div>{html}')
    return "".join(parts)


def _search_id(study: object) -> str:
    return f"search-{page.anchor(str(study))}"


def _title(trials: pd.DataFrame) -> str:
    sources = set(trials["source"])
    if sources == {"published"}:
        return "STIR benchmark: the published results"
    beside = ", beside the published ones" if "published" in sources else ""
    return f"STIR benchmark: our results{beside}"


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


def _tables(folder: ResultsFolder) -> tuple[dict[str, Table], dict[str, str]]:
    """The tables of the page by name, and why others could not be made, by title."""
    found: dict[str, Table] = {}
    without: dict[str, str] = {}
    for name in _SHOWN:
        try:
            found[name] = tables.TABLES[name](folder)
        except AnalysisError as error:
            without[f"Table of {name}"] = str(error)
    more = {"machines": _machines(folder.chosen), "failures": _failures(folder.chosen)}
    return found | {name: table for name, table in more.items() if len(table.frame)}, without


_SHOWN = ("accuracy", "differences", "evaluations", "comparison")


def _folded(table: Table, html: str) -> str:
    """A table; a very long one is folded away until it is asked for."""
    if len(table.frame) <= _LONG:
        return html
    rows = counted(len(table.frame), "row")
    return f"<details><summary>{rows}</summary>{html}</details>"


_LONG = 200  # rows


def _missing(folder: ResultsFolder, why: Mapping[str, str]) -> str:
    """What these results do not hold, folded into one line."""
    studies, open_cells, gaps = unfinished(folder), undecided(folder), _gaps(folder)
    sentences = [*studies, *open_cells, *(": ".join(filter(None, one)) for one in why.items())]
    parts = [f"<p>{as_html(sentence)}</p>" for sentence in sentences]
    counts = (
        ["points of " + ("a study" if len(studies) == 1 else f"{len(studies)} studies")]
        if studies
        else []
    )
    counts += [counted(len(open_cells), "learning rate")] if open_cells else []
    counts += [f"{len(why)} of the figures and tables"] if why else []
    if len(gaps.frame):
        parts.append(renderers.html(gaps, name="gaps"))
        counts.append(f"{counted(len(gaps.frame), 'cell')} without a finished run")
    if not parts:
        return ""
    return f"<details><summary>{', '.join(counts)}</summary>{''.join(parts)}</details>"


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
        "error": Column("Why", long=True),
    }
    return Table(
        "Failed",
        "Points whose last attempt failed; they are in no mean.",
        failed,
        columns,
        styles=styles,
    )


def _command(results: str, out: str, source: str | None, storage: str | None) -> str:
    parts = ["stir-analysis", "report", "--results", results, "--out", out]
    parts += ["--source", source] if source else []
    parts += ["--storage", storage] if storage else []
    return f"<pre>{as_html(shlex.join(parts))}</pre>"
