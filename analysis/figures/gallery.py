"""Every figure by name: what it shows, and how it comes from a results folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from matplotlib.figure import Figure

from analysis.cells import Frames
from analysis.figures.generalization import generalization


@dataclass(frozen=True, slots=True)
class Entry:
    """A figure's title, its caption (complete sentences) and how to draw it."""

    title: str
    caption: str
    draw: Callable[[Frames], Figure]


FIGURES: Mapping[str, Entry] = MappingProxyType(
    {
        "generalization": Entry(
            "Test accuracy by object scale",
            "The line is the mean over seeds, the band one standard deviation to either side. "
            "Grey marks the scales the models were trained on.",
            lambda frames: generalization(frames.scales),
        ),
    }
)
