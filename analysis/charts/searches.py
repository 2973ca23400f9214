"""Charts of a search: every sample as a line across its axes, and how much each axis mattered."""

from collections.abc import Iterator
from dataclasses import dataclass

import altair as alt
import pandas as pd

from analysis import style
from analysis.charts.specs import HEIGHT, ROW, Spec, config, tips
from analysis.results.searching import associations, is_number, places, varied
from stir.terminal import counted

OUTCOME = "accuracy"  # the last axis: best validation accuracy
_TITLES = {"lr": "learning rate", "kernel_size": "kernel size", "max_epochs": "most epochs"}
_ROWS = alt.NamedData("rows")
_TICKS = alt.NamedData("ticks")


@dataclass(frozen=True, slots=True)
class SearchChart:
    """One chart of a search; ``ticks`` are the words along the axes, ``told`` says it in words."""

    study: str
    name: str  # samples, axes
    title: str
    spec: Spec
    rows: pd.DataFrame
    ticks: pd.DataFrame
    told: str
    hint: str


def search_charts(searches: pd.DataFrame) -> Iterator[SearchChart]:
    """Two charts of each search that has an outcome and an axis that varies."""
    for study, samples in searches.groupby("study"):
        known = samples["best_valid_accuracy"].notna()
        axes = varied(samples)
        if not known.any() or not axes:
            continue
        yield _samples(str(study), samples[known], axes)
        strengths = associations(samples)
        if strengths["strength"].notna().any():
            yield _strengths(str(study), strengths.dropna())


def axis_title(axis: str) -> str:
    return _TITLES.get(axis, axis.replace("_", " "))


def value_text(axis: str, value: object) -> str:
    """A drawn value as a reader writes it."""
    match axis, value:
        case _, None:
            return "none"
        case "model", str():
            return style.model_styles([value])[value].name
        case "dataset", str():
            return style.dataset_name(value)
        case "scenario", int():
            return style.scenario_name(value)
        case _, float():
            return f"{value:.3g}"
        case _:
            return str(value)


def _samples(study: str, samples: pd.DataFrame, axes: list[str]) -> SearchChart:
    columns = [*axes, "best_valid_accuracy"]
    titles = [*map(axis_title, axes), OUTCOME]
    values = samples[columns].astype(object).where(samples[columns].notna(), None)
    told = [
        ", ".join(
            f"{axis_title(axis)} {value_text(axis, value)}"
            for axis, value in zip(axes, row, strict=True)
        )
        for row in values[axes].itertuples(index=False, name=None)
    ]
    parts = [
        pd.DataFrame(
            {
                "sample": samples["sample"],
                "status": samples["status"],
                "drawn": told,
                "accuracy": samples["best_valid_accuracy"],
                "axis": title,
                "place": places(samples[column]) if samples[column].nunique() > 1 else 0.5,
            }
        )
        for column, title in zip(columns, titles, strict=True)
    ]
    first = int(samples["best_valid_accuracy"].to_numpy(dtype=float).argmax())
    best = samples.iloc[first]
    return SearchChart(
        study,
        "samples",
        f"Samples of {study}",
        config(_parallel(titles)),
        pd.concat(parts, ignore_index=True),
        pd.concat(
            [_ticks(samples[one], title) for one, title in zip(columns, titles, strict=True)]
        ),
        f"{counted(len(samples), 'sample')} with an outcome; the best, number {best['sample']}, "
        f"had {told[first]} and reached {100 * best['best_valid_accuracy']:.1f} % in validation.",
        "A line is a sample, its colour the best validation accuracy. The best of many is high "
        "also by chance: run it again with fresh seeds.",
    )


def _parallel(titles: list[str]) -> alt.TopLevelMixin:
    x = alt.X("axis", type="nominal", sort=titles, title=None,
              axis=alt.Axis(labelAngle=0, orient="top", grid=True, domain=False))  # fmt: skip
    y = alt.Y("place", type="quantitative", axis=None, scale=alt.Scale(domain=[-0.04, 1.04]))
    near = alt.selection_point(
        name="near", nearest=True, on="pointerover", clear="pointerout", fields=["sample"],
    )  # fmt: skip
    colour = alt.Color(
        "accuracy", type="quantitative", title="best validation accuracy",
        scale=alt.Scale(scheme="viridis"), legend=alt.Legend(format="%", orient="bottom"),
    )  # fmt: skip
    base = alt.Chart(_ROWS).encode(x=x, y=y, detail="sample:N", color=colour)
    shown = alt.when(near).then(alt.value(0.9)).otherwise(alt.value(0.12))
    line = base.mark_line(strokeWidth=2, interpolate="monotone").encode(opacity=shown)
    spot = base.mark_point(filled=True, size=50).encode(
        opacity=shown,
        tooltip=tips(
            sample=("Sample", "d"),
            accuracy=("Best validation", ".2%"),
            status=("Status", ""),
            drawn=("Drawn", ""),
        ),
    )
    words = (
        alt.Chart(_TICKS)
        .mark_text(align="left", dx=8, fontSize=11, color="var(--ink)")
        .encode(x=x, y=y, text="text:N")
    )
    return alt.layer(line, spot.add_params(near), words).properties(height=HEIGHT)


def _ticks(values: pd.Series, title: str) -> pd.DataFrame:
    """The names along an axis of names; both ends and the middle of one of numbers."""
    known = values.dropna()
    if is_number(values):
        middle = known.iloc[(places(values).dropna() - 0.5).abs().argsort().iloc[0]]
        known = pd.Series([known.min(), middle, known.max()], name=values.name)
    shown = known.drop_duplicates()
    at = places(pd.concat([shown, values]).rename(str(values.name))).iloc[: len(shown)]
    outcome = title == OUTCOME
    texts = [
        f"{100 * v:.1f} %" if outcome else value_text(str(values.name), v) for v in shown.tolist()
    ]
    return pd.DataFrame({"axis": title, "place": at.fillna(0.5).tolist(), "text": texts})


def _strengths(study: str, strengths: pd.DataFrame) -> SearchChart:
    rows = strengths.assign(name=strengths["axis"].map(axis_title))
    chart = (
        alt.Chart(_ROWS)
        .mark_bar(color="#2f6fb5", height=12)
        .encode(
            x=alt.X("strength", type="quantitative", title="strength of association",
                    scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("name", type="nominal", sort=None, title=None),
            tooltip=tips(name=("Axis", ""), strength=("Strength", ".2f"), samples=("Samples", "d")),
        )
        .properties(height=alt.Step(ROW))
    )  # fmt: skip
    listed = ", ".join(f"{row['name']} {row['strength']:.2f}" for row in rows.to_dict("records"))
    return SearchChart(
        study,
        "axes",
        "What mattered",
        config(chart),
        rows,
        pd.DataFrame({"axis": [], "place": [], "text": []}),
        f"Strength of association with the best validation accuracy: {listed}.",
        "How closely the best validation accuracy goes with each axis by itself: the rank "
        "correlation without its sign, of names the correlation ratio of ranks. Axes that matter "
        "only together show nothing.",
    )
