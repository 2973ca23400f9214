"""One self-contained HTML page with everything a results folder holds."""

import shlex
from collections.abc import Callable
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import style
from analysis.errors import AnalysisError
from analysis.figures import canvas
from analysis.figures.gallery import FIGURES, drawn
from analysis.report import page
from analysis.report.notes import notes
from analysis.report.page import Column
from analysis.results.cells import CELL, in_order
from analysis.results.comparison import MARGIN, NOTHING_COMPARABLE, compared
from analysis.results.evaluations import by_cell
from analysis.results.folder import BOOTSTRAP_SEED, Frames
from analysis.results.summary import contrasts
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
    frames, store = Frames(results, source), Storage(out)
    if frames.chosen.empty:
        raise AnalysisError(
            f"A report needs at least one trial; {results} holds none. "
            "Run a study, then: stir-analysis collect --storage STORAGE --out RESULTS"
        )
    keys: list[str] = []
    drawings: list[str] = []
    missing: list[str] = []
    for done, (name, figure) in enumerate(drawn(frames) if len(frames.reported) else (), start=1):
        if isinstance(figure, AnalysisError):
            missing.append(f"<p>{FIGURES[name].title}: {escape(str(figure))}</p>")
        else:
            keys += canvas.save(figure, store, name)
            drawings.append(_drawing(name, figure, results))
        if progress:
            progress(done, len(FIGURES))
    sections = {
        "": "".join(f'<p class="note">{escape(note)}</p>' for note in notes(frames)),
        "Figures": "".join(drawings),
        "Figures that these results do not allow": "".join(missing),
        "Test accuracy": _accuracies(frames),
        "Differences between models": _differences(frames),
        "Evaluations of trained weights": _evaluations(frames),
        "Ours against the published results": _comparison(frames),
        "Cells without a finished run": _gaps(frames),
        "What ran where": _places(frames.chosen),
        "Failed": _failures(frames.chosen),
        "How to make this page again": _command(results, out, source),
    }
    body = "\n".join(
        f"<section>{f'<h2>{title}</h2>' if title else ''}{text}</section>"
        for title, text in sections.items()
        if text
    )
    template = Template(files("analysis.report").joinpath("page.html").read_text("utf-8"))
    html = template.substitute(summary=_summary(frames.chosen), body=body)
    store.write("report.html", html.encode())
    return [*keys, "report.html"]


def _drawing(name: str, figure: Figure, results: str) -> str:
    return page.drawing(
        name,
        title=FIGURES[name].title,
        caption=FIGURES[name].caption,
        svg=canvas.to_svg(figure),
        command=f"stir-analysis figures {name} --results {shlex.quote(results)}",
    )


def _summary(trials: pd.DataFrame) -> str:
    finished = int((trials["status"] == "finished").sum())
    words = [
        page.counted(finished, "finished trial"),
        page.counted(trials["model"].nunique(), "model"),
        page.counted(trials["dataset"].nunique(), "dataset"),
        page.counted(trials["scenario"].nunique(), "scenario"),
    ]
    failed = len(trials) - finished
    return ", ".join(words) + (f"; {page.counted(failed, 'failed point')}" if failed else "")


def _accuracies(frames: Frames) -> str:
    if frames.reported.empty:
        return ""
    columns = {
        **_cell_columns(frames.trials["model"]),
        "lr": Column("Learning rate", page.short, number=True),
        "seeds": Column("Seeds", str, number=True),
        "mean": Column("Mean", page.percent, number=True),
        "mean_low": Column("from", page.percent, number=True),
        "mean_high": Column("to", page.percent, number=True),
        "spread": Column("Standard deviation", page.percent, number=True),
        "median": Column("Median", page.percent, number=True),
        "lowest": Column("Lowest", page.percent, number=True),
        "highest": Column("Highest", page.percent, number=True),
        "valid": Column("Best validation", page.percent, number=True),
        "collapsed": Column("Collapsed", str, number=True),
        "epochs": Column("Epochs", lambda value: f"{value:.1f}", number=True),
        "epoch_seconds": Column("s per epoch", page.short, number=True),
    }
    return (
        "<p>In percent; <em>from</em> and <em>to</em> bound the mean (95 %, bootstrap over seeds). "
        "A run has collapsed when its best validation accuracy is below twice chance; it is in the "
        "mean all the same.</p>" + page.table(frames.summary, columns)
    )


def _differences(frames: Frames) -> str:
    pairs = contrasts(frames.reported)
    if pairs.empty:
        return ""
    columns = {
        **_cell_columns(pairs["model"]),
        "other_model": Column("minus", page.models(style.model_styles(pairs["other_model"]))),
        "difference": Column("Points", page.points, number=True),
        "low": Column("from", page.points, number=True),
        "high": Column("to", page.points, number=True),
        "welch_p_holm": Column("Welch p", page.short, number=True),
        "mann_whitney_p_holm": Column("Mann-Whitney p", page.short, number=True),
        "hedges_g": Column("Hedges' g", lambda value: f"{value:+.2f}", number=True),
        "cliffs_delta": Column("Cliff's delta", lambda value: f"{value:+.2f}", number=True),
    }
    return (
        "<p>Every two models within a dataset and scenario: percentage points of mean test "
        "accuracy with the 95 % Welch interval; p corrected for the pairs of that dataset and "
        "scenario (Holm). Seeds are not paired: between models they have nothing in common.</p>"
        f"<details><summary>{page.counted(len(pairs), 'pair')}</summary>"
        f"{page.table(pairs, columns)}</details>"
    )


def _evaluations(frames: Frames) -> str:
    try:
        cells = by_cell(frames, rng=np.random.default_rng(BOOTSTRAP_SEED))
    except AnalysisError as error:
        return f"<p>{escape(str(error))}</p>"
    columns = {
        **_cell_columns(cells["model"]),
        "evaluated": Column("Runs", str, number=True),
        "error": Column("Equivariance error", page.short, number=True),
        "error_low": Column("from", page.short, number=True),
        "error_high": Column("to", page.short, number=True),
        "undefined": Column("% undefined", page.percent, number=True),
        "r_1": Column("r, stage 1", page.short, number=True),
        "r_2": Column("r, stage 2", page.short, number=True),
        "constant": Column("% without r", page.percent, number=True),
    }
    return (
        "<p>Equivariance error at stage 2, on scale pairs that the scenario trains on neither of, "
        "mean over runs (95 %, bootstrap); r of chosen kernel size and object scale, mean over "
        "channels and runs. A dash: does not apply to the model.</p>" + page.table(cells, columns)
    )


def _comparison(frames: Frames) -> str:
    table = compared(frames)
    if table.empty:
        return f"<p>{escape(NOTHING_COMPARABLE)}</p>"
    columns = {
        **_cell_columns(table["model"]),
        "lr": Column("Learning rate", page.short, number=True),
        "published_lr": Column("published", page.short, number=True),
        "seeds": Column("Seeds", str, number=True),
        "published_seeds": Column("published", str, number=True),
        "mean": Column("Mean", page.percent, number=True),
        "published_mean": Column("published", page.percent, number=True),
        "difference": Column("Points", page.points, number=True),
        "low": Column("from", page.points, number=True),
        "high": Column("to", page.points, number=True),
        "test": Column("Test", page.text),
        "shared_seeds": Column("Shared seeds", str, number=True),
        "correlation": Column("r over seeds", lambda value: f"{value:.2f}", number=True),
        "verdict": Column("Verdict", page.text),
    }
    return (
        f"<p>Ours minus published. <em>Agrees</em>: within {100 * MARGIN:g} points by two "
        "one-sided tests at 5 %. <em>Differs</em>: otherwise, and not zero at 5 % (Holm over "
        "cells). Seeds are paired only where both have all of ours and they clearly go together; "
        "means and seeds are those of the runs compared.</p>" + page.table(table, columns)
    )


def _gaps(frames: Frames) -> str:
    """Cells without a run: of studies, and of models and datasets that have some elsewhere."""
    trials = frames.chosen
    cells = trials[["dataset", "scenario"]].drop_duplicates()
    wanted = cells.merge(pd.DataFrame({"model": trials["model"].unique()}), how="cross")
    if "ours" in set(trials["source"]):
        wanted = pd.concat([wanted, frames.grid_points[CELL]]).drop_duplicates(CELL)
    done = trials.loc[trials["status"] == "finished", ["dataset", "scenario", "model"]]
    left = wanted.merge(done.drop_duplicates(), how="left", indicator=True)
    missing = left[left["_merge"] == "left_only"]
    if missing.empty:
        return ""
    return page.table(in_order(missing), _cell_columns(missing["model"]))


def _places(trials: pd.DataFrame) -> str:
    where = ["source", "host", "device", "threads", "code_version", "git_sha", "torch_version"]
    places = (
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
        "source": Column("Source", page.text),
        "host": Column("Host", page.text),
        "device": Column("Device", page.text),
        "threads": Column("Threads", page.whole, number=True),
        "trials": Column("Trials", str, number=True),
        "resumed": Column("Resumed", str, number=True),
        "hours": Column("Hours of trials", lambda value: f"{value:.2f}", number=True),
        "first": Column("First start (UTC)", page.time),
        "last": Column("Last end (UTC)", page.time),
        "code_version": Column("Code", page.text),
        "git_sha": Column("Git", lambda value: page.text(value)[:10]),
        "torch_version": Column("PyTorch", page.text),
        "ray_version": Column("Ray", page.text),
    }
    return page.table(places, columns)


def _failures(trials: pd.DataFrame) -> str:
    failed = trials[trials["status"] == "failed"]
    if failed.empty:
        return ""
    columns = {
        "point_id": Column("Point", page.text),
        **_cell_columns(failed["model"]),
        "lr": Column("Learning rate", page.short, number=True),
        "seed": Column("Seed", str, number=True),
        "error": Column("Why", page.text),
    }
    return page.table(failed, columns)


def _cell_columns(models: pd.Series) -> dict[str, Column]:
    return {
        "dataset": Column("Dataset", page.dataset),
        "scenario": Column("Scenario", page.scenario),
        "model": Column("Model", page.models(style.model_styles(models))),
    }


def _command(results: str, out: str, source: str | None) -> str:
    words = ["stir-analysis", "report", "--results", results, "--out", out]
    words += ["--source", source] if source else []
    return f"<pre>{escape(shlex.join(words))}</pre>"
