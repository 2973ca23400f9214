"""Vega-Lite specifications of the interactive charts, without data.

A chart draws the rows that the page hands to its dataset ``rows``: those of the chosen dataset and
scenario, of the models that are shown, in the order of the vertical axis. Nothing from a record
stands in an expression: what a specification holds of records are lists of names and colours.
Colours are the variables of the page's style sheet, so that a chart follows light and dark.
"""

from typing import Any, Literal

import altair as alt

from analysis.charts.looks import Looks

Spec = dict[str, Any]

ROW = 22  # pixels, the height of a model's row
_MARGIN = 16  # pixels on either side of the data, so that no mark and no label is cut
HEIGHT = 320  # pixels, of a chart whose vertical axis is a quantity
_ROWS = alt.NamedData("rows")
_TRAINED = alt.NamedData("trained")
_SHARE = alt.Axis(format="%")
_INK = "var(--ink)"
_MODEL = {"name": ("Model", "")}
COUNTS = {"seeds": ("Seeds", "d"), "collapsed": ("Collapsed", "d"), "failed": ("Failed", "d")}
_RUN = _MODEL | {"seed": ("Seed", "d"), "test_accuracy": ("Test accuracy", ".2%")}


def config(chart: alt.TopLevelMixin) -> Spec:
    """The chart as a specification in the manner of the page, as wide as its place."""
    quiet = {"labelColor": "var(--quiet)", "titleColor": "var(--quiet)"}
    look = {
        "background": "transparent",
        "font": "system-ui, -apple-system, 'Segoe UI', sans-serif",
        "view": {"stroke": None},
        "axis": {
            **quiet,
            "domainColor": "var(--faint)",
            "gridColor": "var(--line)",
            "tickColor": "var(--faint)",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelLimit": 190,
        },
        "axisX": {"labelOverlap": "greedy", "labelSeparation": 8, "labelBound": True},
        "legend": {
            **quiet,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "symbolFillColor": "var(--quiet)",
            "symbolStrokeColor": "var(--quiet)",
        },
        "header": {"labelColor": _INK, "titleColor": _INK},
    }
    spec = chart.to_dict()
    return spec | {"config": look, "width": "container"}


def means(looks: Looks) -> Spec:
    """A dot per model: its mean accuracy with the interval, the best ones filled."""
    scale = alt.Scale(zero=False, nice=False, padding=_MARGIN)
    title = "mean test accuracy"
    base = alt.Chart(_ROWS).encode(y=_model_rows())
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("start", type="quantitative", scale=scale, axis=_SHARE, title=title),
        x2="end",
        color=_colour(looks),
    )
    dot = base.mark_point(size=90, strokeWidth=2, opacity=1).encode(
        x=alt.X("mean", type="quantitative", scale=scale, axis=_SHARE, title=title),
        color=_colour(looks),
        fill=alt.when("datum.best")
        .then(_colour(looks, alt.Fill))
        .otherwise(alt.value("var(--page)")),
        shape=_shape(looks),
        tooltip=tips(
            **_MODEL,
            mean=("Mean", ".2%"),
            mean_low=("from", ".2%"),
            mean_high=("to", ".2%"),
            **COUNTS,
        ),
    )
    return config(alt.layer(interval, dot).properties(height=alt.Step(ROW)).add_params(_zoom("x")))


def seconds(looks: Looks) -> Spec:
    """A dot per model: the mean seconds of training per epoch, on a logarithmic axis."""
    chart = (
        alt.Chart(_ROWS)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=alt.X("train_seconds", type="quantitative", title="seconds of training per epoch",
                    scale=alt.Scale(type="log", padding=_MARGIN)),
            y=_model_rows(),
            color=_colour(looks),
            shape=_shape(looks),
            tooltip=tips(**_MODEL, train_seconds=("Seconds", ".3g"), **COUNTS),
        )
    )  # fmt: skip
    return config(chart.properties(height=alt.Step(ROW)).add_params(_zoom("x")))


def lines(
    looks: Looks,
    *,
    x: str,
    title: str,
    y: str,
    told: dict[str, tuple[str, str]],
    shaded: bool = False,
) -> Spec:
    """A line per model over ``x``, a band from ``low`` to ``high``; the nearest point speaks.

    ``shaded``: grey from ``from`` to ``to`` of the dataset ``trained``.
    """
    # A domain of one step has a tick in its middle all the same.
    whole = alt.Axis(tickMinStep=1, format="d", labelExpr="datum.value % 1 ? '' : datum.label")
    scale = alt.Scale(zero=False, nice=False)
    across = alt.X(x, type="quantitative", title=title, scale=scale, axis=whole)
    colour = _colour(looks)
    base = alt.Chart(_ROWS)
    share = alt.Scale(domain=[0, 1.02], nice=False)
    band = base.mark_area(opacity=0.14).encode(
        x=across,
        y=alt.Y("low", type="quantitative", title=y, axis=_SHARE, scale=share),
        y2="high",
        color=colour,
    )
    line = base.mark_line(strokeWidth=2).encode(
        x=across,
        y=alt.Y("mean", type="quantitative", title=y, axis=_SHARE, scale=share),
        color=colour,
        strokeDash=_dash(looks),
    )
    near = alt.selection_point(
        name="near", nearest=True, on="pointerover", clear="pointerout", empty=False,
        fields=[x, "name"],
    )  # fmt: skip
    spot = base.mark_point(filled=True, size=110).encode(
        x=across,
        y=alt.Y("mean", type="quantitative", scale=share),
        color=colour,
        shape=_shape(looks),
        opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0)),
        tooltip=tips(**_MODEL, **told),
    )
    trained = (
        alt.Chart(_TRAINED)
        .mark_rect(color="var(--shade)", opacity=1)
        .encode(x=alt.X("from", type="quantitative", title=title), x2="to")
    )
    below = (trained, band) if shaded else (band,)
    chart = alt.layer(*below, line.add_params(_zoom("x", "y")), spot.add_params(near))
    return config(chart.properties(height=HEIGHT))


def runs(looks: Looks) -> Spec:
    """A dot per run in its model's row, spread upwards and downwards; collapsed ones hollow."""
    chart = (
        alt.Chart(_ROWS)
        .mark_point(size=36, strokeWidth=1.5, opacity=0.75)
        .encode(
            x=alt.X("test_accuracy", type="quantitative", axis=_SHARE, title="test accuracy",
                    scale=alt.Scale(zero=False, nice=False, padding=_MARGIN)),
            y=_model_rows(),
            yOffset=alt.YOffset("spread", type="quantitative", scale=alt.Scale(domain=[-1, 1])),
            color=_colour(looks),
            fill=alt.when("datum.collapsed").then(alt.value("var(--page)"))
            .otherwise(_colour(looks, alt.Fill)),
            tooltip=tips(**_RUN, epochs=("Epochs", "d"), collapsed=("Collapsed", "")),
        )
    )  # fmt: skip
    return config(chart.properties(height=alt.Step(ROW + 4)).add_params(_zoom("x")))


def differences(looks: Looks, *, margin: float) -> Spec:
    """A row per cell: ours minus published with its interval, grey the margin."""
    points = alt.Axis(title="ours minus published, percentage points")
    base = alt.Chart(_ROWS).encode(y=_model_rows(), color=_colour(looks))
    band = (
        alt.Chart(alt.Data(values=[{"from": -100 * margin, "to": 100 * margin}]))
        .mark_rect(color="var(--shade)", opacity=1)
        .encode(x=alt.X("from", type="quantitative", axis=points), x2="to")
    )
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low", type="quantitative"), x2="high")
    dot = base.mark_point(size=80, filled=True, opacity=1).encode(
        x=alt.X("difference", type="quantitative", axis=points),
        shape=alt.Shape("verdict", type="nominal", title=None,
                        scale=alt.Scale(domain=["agrees", "differs", "too few runs"],
                                        range=["circle", "cross", "triangle-up"]),
                        legend=alt.Legend(orient="bottom")),
        tooltip=tips(name=("Model", ""), difference=("Points", "+.2f"), low=("from", "+.2f"),
                      high=("to", "+.2f"), seeds=("Seeds", "d"), failed=("Failed", "d"),
                      verdict=("Verdict", ""), test=("Test", "")),
    )  # fmt: skip
    chart = alt.layer(band, interval.add_params(_zoom("x")), dot)
    return config(chart.properties(height=alt.Step(ROW)))


def scatter(looks: Looks, *, x: str, title: str) -> Spec:
    """A dot per run: its test accuracy against ``x``, on a logarithmic axis."""
    chart = (
        alt.Chart(_ROWS)
        .mark_point(filled=True, size=50, opacity=0.8)
        .encode(
            x=alt.X(x, type="quantitative", title=title, scale=alt.Scale(type="log")),
            y=alt.Y("test_accuracy", type="quantitative", axis=_SHARE, title="test accuracy",
                    scale=alt.Scale(zero=False, nice=False, padding=_MARGIN)),
            color=_colour(looks),
            shape=_shape(looks),
            tooltip=tips(**_RUN, **{x: (title, ".3g")}),
        )
    )  # fmt: skip
    return config(chart.properties(height=HEIGHT).add_params(_zoom("x", "y")))


def _model_rows() -> alt.Y:
    return alt.Y("name", type="nominal", sort=None, title=None, axis=alt.Axis(grid=True))


def _colour(looks: Looks, channel: type = alt.Color) -> Any:
    scale = alt.Scale(domain=list(looks.names), range=list(looks.colours))
    return channel("name", type="nominal", scale=scale, legend=None)


def _dash(looks: Looks) -> alt.StrokeDash:
    scale = alt.Scale(domain=list(looks.names), range=[list(dash) for dash in looks.dashes])
    return alt.StrokeDash("name", type="nominal", scale=scale, legend=None)


def _shape(looks: Looks) -> alt.Shape:
    scale = alt.Scale(domain=list(looks.names), range=list(looks.shapes))
    return alt.Shape("name", type="nominal", scale=scale, legend=None)


def tips(**fields: tuple[str, str]) -> list[alt.Tooltip]:
    """What is told of a mark: by field its title, and the format of a number or nothing."""
    return [
        alt.Tooltip(field, type="quantitative", title=title, format=form)
        if form
        else alt.Tooltip(field, type="nominal", title=title)
        for field, (title, form) in fields.items()
    ]


def _zoom(*axes: Literal["x", "y"]) -> alt.Parameter:
    """Zoom by the wheel with Shift held, so that the page still scrolls; move by dragging."""
    return alt.selection_interval(
        name="zoom", bind="scales", encodings=list(axes), zoom="wheel![event.shiftKey]"
    )
