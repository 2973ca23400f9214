"""How models look in an interactive chart: the colours, dashes and markers of the drawn figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.markers import MarkerStyle
from matplotlib.path import Path

from analysis import style

_LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}


@dataclass(frozen=True, slots=True)
class Looks:
    """The models of a page in drawing order, each list a value per model; names all differ."""

    names: Sequence[str]
    colours: Sequence[str]
    dashes: Sequence[Sequence[float]]  # lengths of ink and gap in pixels; none: a solid line
    shapes: Sequence[str]  # SVG paths within -1 .. 1


def looks_of(styles: Mapping[str, style.ModelStyle]) -> Looks:
    looks = list(styles.values())
    return Looks(
        [look.name for look in looks],
        [look.colour for look in looks],
        [[] if isinstance(look.dash, str) else [2 * n for n in look.dash[1]] for look in looks],
        [shape(look.marker) for look in looks],
    )


def shape(marker: str) -> str:
    """One of matplotlib's markers as an SVG path that fills -1 .. 1, the y axis downwards.

    >>> shape("s")
    'M-1,1L1,1L1,-1L-1,-1Z'
    """
    look = MarkerStyle(marker)
    path = look.get_path().transformed(look.get_transform())
    reach = abs(path.get_extents().get_points()).max()
    drawn = ""
    for points, code in path.iter_segments():
        if code == Path.CLOSEPOLY:
            drawn += "Z"
            continue
        ends = " ".join(
            f"{round(x / reach, 3):g},{round(-y / reach, 3):g}" for x, y in points.reshape(-1, 2)
        )
        drawn += _LETTERS[code] + ends
    return drawn.replace("-0,", "0,")
