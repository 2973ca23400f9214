"""One colour, marker, dash, place and printed name for every model, in every figure and page.

A colour is never a model's only mark: marker and dash distinguish lines in black and white too.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from analysis.text import visible
from stir.scenarios import SCENARIOS

if TYPE_CHECKING:
    from matplotlib.typing import LineStyleType

PAPER = "#fefefe"  # behind everything
INK = "#1b1b1f"  # text and axes
FAINT = "#a6a6ad"  # grid lines, what is missing
SHADE = "#ececf0"  # the scales seen in training

RC: Mapping[str, object] = MappingProxyType(
    {
        "axes.edgecolor": INK,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": INK,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": "medium",
        "figure.facecolor": "white",
        "font.size": 9,
        "grid.alpha": 0.35,
        "grid.color": FAINT,
        "grid.linewidth": 0.5,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
        "lines.markersize": 4,
        "pdf.fonttype": 42,
        "svg.hashsalt": "stir",  # the same figure gives the same file
        "text.color": INK,
        "text.parse_math": False,  # a model or dataset may have a dollar sign in its name
        "xtick.color": INK,
        "ytick.color": INK,
    }
)


@dataclass(frozen=True, slots=True)
class ModelStyle:
    """How one model looks."""

    name: str
    colour: str
    marker: str
    dash: "LineStyleType" = "-"


_DASHED = (0, (4, 1.5))
_DOTTED = (0, (1.2, 1.2))
_VARIANT_DASHES = ("-", (0, (6, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))

# In the order of the paper's Table 2. Families share a hue: steerable filters are blue, the
# enlarged kernels orange. The colours read on white and on black.
MODELS: Mapping[str, ModelStyle] = MappingProxyType(
    {
        "standard": ModelStyle("Standard", "#808080", "o", _DOTTED),
        "spatial_transform": ModelStyle("Spatial Transform", "#b39700", "s", _DASHED),
        "ensemble": ModelStyle("Ensemble", "#228b3c", "^"),
        "xu": ModelStyle("Xu", "#a5439b", "v"),
        "xu_corrected": ModelStyle("Xu, corrected (ours)", "#d38fcb", "v", _DASHED),
        "kanazawa": ModelStyle("Kanazawa", "#ee6677", "D", _DASHED),
        "hermite": ModelStyle("Hermite", "#3f77b4", "<"),
        "disco": ModelStyle("DISCO", "#4fb6dd", ">", _DASHED),
        "pixel_pool": ModelStyle("Pixel Pool", "#d55e00", "X"),
        "slice_pool": ModelStyle("Slice Pool", "#f0a30a", "P"),
        "energy_pool": ModelStyle("Energy Pool", "#9a6a3a", "d", _DASHED),
        "energy_pool_valid": ModelStyle("Energy Pool, valid (ours)", "#c9a27a", "d", _DOTTED),
        "conv3d": ModelStyle("Conv3D", "#7e6fd0", "h", _DOTTED),
        "scale_select": ModelStyle("Scale Select (ours)", "#c2185b", "D"),
        "scale_select_k": ModelStyle("Scale Select, several (ours)", "#e644b2", "d"),
    }
)

_RESERVE_COLOURS = ("#2ab288", "#116eff", "#774455", "#c366ff", "#00cc3c", "#4c33d4", "#005e55")
_RESERVE_MARKERS = ("*", "p", "8", "H")
_RESERVE = tuple((colour, marker) for marker in _RESERVE_MARKERS for colour in _RESERVE_COLOURS)

DATASETS: Mapping[str, str] = MappingProxyType(
    {
        "emoji": "Emoji",
        "mnist": "MNIST",
        "trafficsign": "Traffic Sign",
        "aerial": "Aerial",
        "emoji-clutter": "Emoji, cluttered",
        "shapes": "Shapes",
    }
)
_PUBLISHED_FILE = "@published"  # ends the name of a dataset that was downloaded, not built


def ordered(names: Iterable[str], table: Mapping[str, object]) -> list[str]:
    """``names`` without repeats: those of ``table`` in its order, then the others by name."""
    found = set(names)
    return [name for name in table if name in found] + sorted(found - set(table))


def model_styles(labels: Iterable[str]) -> dict[str, ModelStyle]:
    """The style of each model, in drawing order; a user's own gets one from a fixed reserve.

    The reserve is entered at a place that the name decides; where others of ``labels`` have that
    place, the next free one is taken, first by those first in the alphabet. A label such as
    ``hermite k=11`` (see ``cells.labelled``) has its model's colour and marker.
    """
    found = set(labels)
    models = ordered((label.partition(" ")[0] for label in found), MODELS)
    looks = {name: MODELS.get(name) for name in models}
    taken: set[int] = set()
    for name in models:
        if looks[name] is None:
            place = int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(_RESERVE)
            while place in taken and len(taken) < len(_RESERVE):
                place = (place + 1) % len(_RESERVE)
            taken.add(place)
            looks[name] = ModelStyle(name, *_RESERVE[place], _DASHED)
    styles: dict[str, ModelStyle] = {}
    for model, look in looks.items():
        variants = sorted(label for label in found if label.partition(" ")[0] == model)
        for number, label in enumerate(variants):
            _, _, how = label.partition(" ")
            assert look is not None
            dash = look.dash if number == 0 else _VARIANT_DASHES[number % len(_VARIANT_DASHES)]
            name = visible(f"{look.name} {how}".strip())
            styles[label] = replace(look, name=name, dash=dash)
    return _told_apart(styles)


def _told_apart(styles: dict[str, ModelStyle]) -> dict[str, ModelStyle]:
    """The same styles, with the label after a name that an earlier model has already."""
    taken: set[str] = set()
    for label, look in styles.items():
        if look.name in taken:
            styles[label] = replace(look, name=visible(f"{look.name} ({label})"))
        taken.add(styles[label].name)
    return styles


def dataset_name(dataset: str) -> str:
    """The dataset's printed name; a user's own is called as it is.

    >>> dataset_name("mnist"), dataset_name("emoji@published"), dataset_name("mine")
    ('MNIST', 'Emoji (published file)', 'mine')
    """
    base = dataset.removesuffix(_PUBLISHED_FILE)
    if base == dataset or base not in DATASETS:
        return visible(DATASETS.get(dataset, dataset))
    return f"{DATASETS[base]} (published file)"


def scenario_name(scenario: int) -> str:
    """The scenario's name for a heading; a number that is no scenario says so.

    >>> scenario_name(2)
    'Mid2Rest'
    """
    return SCENARIOS[scenario].name if scenario in SCENARIOS else f"scenario {scenario}"
