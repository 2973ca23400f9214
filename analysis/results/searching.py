"""What a search drew and what came of it: the axes that vary, and which of them mattered."""

import math

import numpy as np
import pandas as pd

AXES = (
    *("model", "dataset", "scenario", "kernel_size", "interpolation", "lr", "seed"),
    *("max_epochs", "patience", "batch_size"),
)
_LEAST = 4  # samples with an accuracy, below which nothing is said of an axis
_DECADE = 10  # a positive axis that spans more is drawn and told in logarithms


def varied(samples: pd.DataFrame) -> list[str]:
    """The axes along which the samples of one search differ, in the order of AXES."""
    return [name for name in AXES if samples[name].nunique(dropna=False) > 1]


def places(values: pd.Series) -> pd.Series:
    """Where each value stands on its axis, 0 .. 1; names stand evenly, in their order.

    A missing value has no place.
    """
    if not is_number(values):
        names = sorted(values.dropna().unique())
        return values.map({name: _share(place, len(names)) for place, name in enumerate(names)})
    numbers = values.astype(float)
    if numbers.min() > 0 and numbers.max() / numbers.min() > _DECADE:
        numbers = np.log(numbers)
    low, high = numbers.min(), numbers.max()
    return pd.Series((numbers - low) / (high - low), index=values.index)


def is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and values.name != "scenario"


def associations(samples: pd.DataFrame) -> pd.DataFrame:
    """How much the best validation accuracy goes with each axis that varies, strongest first.

    The columns are ``axis``, ``strength`` (0..1) and ``samples``. Of numbers the strength is
    Spearman's rank correlation without its sign, of names the correlation ratio of the ranks. It
    is of each axis by itself: axes that work together only together show none. Samples without an
    accuracy are left out; with fewer than four, an axis has no strength.
    """
    known = samples[samples["best_valid_accuracy"].notna()]
    ranks = known["best_valid_accuracy"].rank()
    rows = [
        {"axis": name, "strength": _strength(known[name], ranks), "samples": len(known)}
        for name in varied(samples)
    ]
    found = pd.DataFrame(rows, columns=["axis", "strength", "samples"])
    return found.sort_values("strength", ascending=False, kind="stable")


def _strength(values: pd.Series, ranks: pd.Series) -> float:
    if len(ranks) < _LEAST or ranks.nunique() < 2 or values.nunique(dropna=False) < 2:
        return math.nan
    if is_number(values) and values.notna().all():
        return abs(float(values.astype(float).rank().corr(ranks)))
    means = ranks.groupby(values.astype(str)).transform("mean")
    total = ((ranks - ranks.mean()) ** 2).sum()
    return math.sqrt(((means - ranks.mean()) ** 2).sum() / total)


def _share(place: int, count: int) -> float:
    return place / (count - 1) if count > 1 else 0.5
