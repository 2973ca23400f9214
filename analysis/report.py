"""One self-contained HTML page with everything a results folder holds."""

import re
from collections.abc import Callable, Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, NamedTuple

import pandas as pd

from analysis import style
from analysis.cells import CELL, Frames, in_order, rate_choices
from analysis.errors import AnalysisError
from analysis.figures import canvas
from analysis.figures.gallery import FIGURES
from analysis.published import RECIPE
from tune_jobs.storage import Storage

_INKS = {style.INK: "--ink", style.FAINT: "--faint", style.SHADE: "--shade"}

_PHONE = 480  # points; a wider drawing is not shrunk to a phone's width but scrolled

Show = Callable[[Any], str]


class Column(NamedTuple):
    """A column of a page's table: its heading, how a value reads, whether it is a number."""

    title: str
    show: Show
    number: bool = False


def report(results: str, out: str) -> list[str]:
    """Draw every figure and write ``report.html``; returns the keys written under ``out``."""
    frames, store = Frames(results), Storage(out)
    if frames.all_trials.empty:
        raise AnalysisError(
            f"A report needs at least one trial; {results} holds none. "
            "Run a study, then: stir-analysis collect --storage STORAGE --out RESULTS"
        )
    keys: list[str] = []
    figures: list[str] = []
    if not frames.trials.empty:
        for name, entry in FIGURES.items():
            figure = entry.draw(frames)
            keys += canvas.save(figure, store, name)
            figures.append(_figure(name, entry.title, entry.caption, canvas.to_svg(figure)))
    sections = {
        "": notes(frames),
        "Figures": "\n".join(figures),
        "Test accuracy": _accuracies(frames),
        "What ran where": _places(frames.all_trials),
        "Failed": _failures(frames.all_trials),
        "How to make this again": _reproduce(results),
    }
    body = "\n".join(
        f"<section>{f'<h2>{title}</h2>' if title else ''}{text}</section>"
        for title, text in sections.items()
        if text
    )
    page = Template(files("analysis").joinpath("page.html").read_text("utf-8"))
    store.write("report.html", page.substitute(summary=_summary(frames), body=body).encode())
    return [*keys, "report.html"]


def _summary(frames: Frames) -> str:
    trials = frames.all_trials
    finished = trials[trials["status"] == "finished"]
    failed = len(trials) - len(finished)
    words = [
        _counted(len(finished), "finished trial"),
        _counted(trials["model"].nunique(), "model"),
        _counted(trials["dataset"].nunique(), "dataset"),
        _counted(trials["scenario"].nunique(), "scenario"),
    ]
    return escape(", ".join(words) + (f"; {_counted(failed, 'failed point')}" if failed else ""))


def notes(frames: Frames) -> str:
    """What a reader must know before the numbers, each as a banner."""
    trials = frames.all_trials
    lines = [_shortened(trials)]
    if failed := int((trials["status"] == "failed").sum()):
        lines.append(f"In no mean: {_counted(failed, 'failed point')}, listed under Failed below.")
    for choice in rate_choices(trials):
        medians = ", ".join(f"{rate:g}: {median:.3f}" for rate, median in choice.medians.items())
        lines.append(
            f"{choice.model} on {choice.dataset}, {style.scenario_name(choice.scenario)}, ran at "
            f"several learning rates; only {choice.lr:g} is reported (median best validation "
            f"accuracy over {_counted(choice.shared_seeds, 'shared seed')}: {medians})."
        )
    return "".join(f'<p class="note">{escape(line)}</p>' for line in lines if line)


def _shortened(trials: pd.DataFrame) -> str:
    ours = trials[trials["source"] == "ours"]
    recipes = ours[list(RECIPE)].drop_duplicates().sort_values(list(RECIPE))
    other = [
        f"at most {row.max_epochs} epochs, patience {row.patience}, batches of {row.batch_size}"
        for row in recipes.itertuples()
        if any(getattr(row, name) != value for name, value in RECIPE.items())
    ]
    if not other:
        return ""
    return (
        f"This is a shortened run: {'; '.join(other)}. The published protocol is at most "
        f"{RECIPE['max_epochs']} epochs, patience {RECIPE['patience']}, batches of "
        f"{RECIPE['batch_size']}. These numbers show that everything works; "
        "they are not to be compared with published ones."
    )


def _accuracies(frames: Frames) -> str:
    if frames.trials.empty:
        return ""
    cells = frames.trials.groupby(CELL, as_index=False).agg(
        seeds=("seed", "size"),
        mean=("test_accuracy", "mean"),
        spread=("test_accuracy", "std"),
        lowest=("test_accuracy", "min"),
        highest=("test_accuracy", "max"),
        valid=("best_valid_accuracy", "mean"),
        collapsed=("collapsed", "sum"),
        epochs=("epochs", "mean"),
    )
    columns = {
        "dataset": Column("Dataset", _dataset),
        "scenario": Column("Scenario", _scenario),
        "model": Column("Model", _model_cell(style.model_styles(frames.trials["model"]))),
        "seeds": Column("Seeds", str, number=True),
        "mean": Column("Mean test accuracy", _percent, number=True),
        "spread": Column("Standard deviation", _percent, number=True),
        "lowest": Column("Lowest", _percent, number=True),
        "highest": Column("Highest", _percent, number=True),
        "valid": Column("Mean best validation", _percent, number=True),
        "collapsed": Column("Collapsed", str, number=True),
        "epochs": Column("Epochs", lambda v: f"{v:.1f}", number=True),
    }
    return (
        "<p>Accuracies in percent. A run has collapsed when its best validation accuracy is below "
        "twice chance; it is in the mean all the same.</p>" + _table(in_order(cells), columns)
    )


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
        "source": Column("Source", _text),
        "host": Column("Host", _text),
        "device": Column("Device", _text),
        "threads": Column("Threads", _whole, number=True),
        "trials": Column("Trials", str, number=True),
        "resumed": Column("Resumed", str, number=True),
        "hours": Column("Hours of trials", lambda v: f"{v:.2f}", number=True),
        "first": Column("First start (UTC)", _time),
        "last": Column("Last end (UTC)", _time),
        "code_version": Column("Code", _text),
        "git_sha": Column("Git", lambda v: _text(v)[:10]),
        "torch_version": Column("PyTorch", _text),
        "ray_version": Column("Ray", _text),
    }
    return _table(places, columns)


def _failures(trials: pd.DataFrame) -> str:
    failed = trials[trials["status"] == "failed"]
    if failed.empty:
        return ""
    columns = {
        "point_id": Column("Point", _text),
        "model": Column("Model", _text),
        "dataset": Column("Dataset", _text),
        "scenario": Column("Scenario", _scenario),
        "lr": Column("Learning rate", lambda v: f"{v:g}", number=True),
        "seed": Column("Seed", str, number=True),
        "error": Column("Why", _text),
    }
    return _table(failed, columns)


def _reproduce(results: str) -> str:
    commands = [f"stir-analysis figures {name} --results {results}" for name in FIGURES]
    commands.append(f"stir-analysis report --results {results}")
    return f"<pre>{escape(chr(10).join(commands))}</pre>"


def _figure(name: str, title: str, caption: str, svg: str) -> str:
    width = float(re.search(r'width="([\d.]+)pt"', svg)[1])  # pyright: ignore[reportOptionalSubscript]
    wide = " wide" if width > _PHONE else ""
    return (
        f'<figure id="figure-{name}"><h3>{escape(title)}</h3>'
        f'<div class="scroll{wide}">{inline(svg, name)}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def inline(svg: str, name: str) -> str:
    """A drawing fit to stand in a page: ids of its own, colours that follow the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in _INKS.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)


def _table(frame: pd.DataFrame, columns: Mapping[str, Column]) -> str:
    """An HTML table that the page's script can sort and filter."""
    kinds = [" class=number" if column.number else "" for column in columns.values()]
    titles = zip(kinds, columns.values(), strict=True)
    head = "".join(f"<th{kind}>{escape(column.title)}</th>" for kind, column in titles)
    rows: list[str] = []
    for values in frame[list(columns)].itertuples(index=False, name=None):
        cells = zip(kinds, values, columns.values(), strict=True)
        row = "".join(f"<td{kind}>{_shown(value, column)}</td>" for kind, value, column in cells)
        rows.append(f"<tr>{row}</tr>")
    return (
        f'<div class="scroll"><table class="data"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _shown(value: Any, column: Column) -> str:
    return "&ndash;" if value is None or pd.isna(value) else column.show(value)


def _model_cell(styles: Mapping[str, style.ModelStyle]) -> Show:
    def show(value: Any) -> str:
        look = styles[str(value)]
        return f'<i class="dot" style="background:{look.colour}"></i>{escape(look.name)}'

    return show


def _dataset(value: Any) -> str:
    return escape(style.dataset_name(value))


def _scenario(value: Any) -> str:
    return escape(style.scenario_name(value))


def _text(value: Any) -> str:
    return escape(str(value))


def _whole(value: Any) -> str:
    return f"{value:.0f}"


def _percent(value: Any) -> str:
    return f"{100 * value:.1f}"


def _time(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
