"""The datasets known by name: their size, where they come from and on what terms."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from numpy.typing import NDArray

from stir.catalogue.plugins import Known
from stir.errors import StirError

if TYPE_CHECKING:
    from stir.terminal import Progress

BY_NC_SA = "CC BY-NC-SA 4.0"
PUBLISHED = "Zenodo record 6578038, doi:10.5281/zenodo.6578038"


class Maker(Protocol):
    """What makes the arrays of a dataset of one's own, all but ``metadata``."""

    def __call__(self, *, raw_dir: Path | None, progress: "Progress") -> dict[str, NDArray]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a dataset before its file is opened."""

    title: str
    num_classes: int
    instances: int  # objects of a class in each split
    channels: int  # 1 grey, 3 red-green-blue
    licence: str  # of the dataset, not of this software
    attribution: str
    source: str  # what it is built from
    benchmark: bool = True  # False: not one of the datasets of the STIR paper
    square: bool = True  # False: scls is the longer side of an oblong object
    make: Maker | None = None  # of a dataset that was registered
    needs_raw: bool = False  # of such a dataset: is it made from files that the user has?

    @property
    def num_images(self) -> int:
        """Images of all three splits and 48 scales."""
        return 3 * 48 * self.num_classes * self.instances


def _stir(name: str) -> str:
    return f"Scaled and Translated Image Recognition (STIR) {name}"


_EMOJI = Facts(
    title=_stir("Emoji"),
    num_classes=36,
    instances=1,
    channels=1,
    licence="CC BY 4.0",
    attribution="modified from Font Awesome Free 5.15.3 by @fontawesome - https://fontawesome.com",
    source="the icons of the Python package fontawesome-free 5.15.3, rendered with resvg",
)

BUILT_IN: Mapping[str, Facts] = MappingProxyType(
    {
        "emoji": _EMOJI,
        "emoji@published": replace(_EMOJI, source=PUBLISHED),
        "mnist": Facts(
            title=_stir("MNIST"),
            num_classes=10,
            instances=50,
            channels=1,
            licence="CC BY 4.0",
            attribution="modified from MNIST by Y. LeCun, C. Cortes and C. Burges - "
            "http://yann.lecun.com/exdb/mnist/",
            source="the four idx files of MNIST",
        ),
        "trafficsign": Facts(
            title=_stir("Traffic Sign"),
            num_classes=16,
            instances=25,
            channels=3,
            licence=BY_NC_SA,
            attribution="modified from the Mapillary Traffic Sign Dataset - "
            "https://www.mapillary.com/dataset/trafficsign",
            source="the archives of the Mapillary Traffic Sign Dataset v2, fully annotated",
        ),
        "aerial": Facts(
            title=_stir("Aerial Object"),
            num_classes=9,
            instances=25,
            channels=3,
            licence=BY_NC_SA,
            attribution="modified from the Dataset for Object Detection in Aerial Images (DOTA) - "
            "https://captain-whu.github.io/DOTA/dataset.html",
            source="the archives of DOTA v1.5",
            square=False,
        ),
        "shapes": Facts(
            title=_stir("Shapes (not part of the benchmark)"),
            num_classes=8,
            instances=5,
            channels=3,
            licence="CC0 1.0",
            attribution="drawn by this software",
            source="drawn procedurally from a seed",
            benchmark=False,
        ),
        "emoji-clutter": replace(
            _EMOJI,
            title=_stir("Emoji over Clutter (not part of the benchmark)"),
            source=f"{_EMOJI.source}, over 1/f noise and fragments of other icons",
            benchmark=False,
        ),
    }
)

_datasets = dict(BUILT_IN)
DATASETS: Known[Facts] = Known(_datasets, group="stir.datasets")


def register_dataset(
    name: str,
    make: Maker,
    *,
    title: str,
    num_classes: int,
    instances: int,
    channels: int,
    licence: str,
    attribution: str,
    source: str,
    needs_raw: bool = False,
) -> Facts:
    """Let ``stir build``, ``stir list`` and studies know a dataset of your own by its name.

    ``make`` is called with ``raw_dir`` (the folder that ``--raw`` names, else None) and
    ``progress`` (told the classes done and all) by keyword. It returns the arrays ``imgs``,
    ``lbls``, ``scls``, ``psts`` and ``lbldata`` of a STIR file; ``stir.schema.blank`` begins them.
    ``instances`` counts the objects of a class in each split; ``channels`` is 1 or 3.

    The name is the title in small letters with hyphens, so that a file of the dataset has the same
    name wherever it is opened. Raises StirError where it is not, or is one of this software's own.

    An installed package makes its datasets known everywhere by entry points of the group
    ``stir.datasets``: each has a dataset's name and refers to the module that registers it.
    """
    if name in BUILT_IN:
        raise StirError(f"A dataset's name must not be one of this software's own; got {name!r}.")
    if not name or name != slug(title):
        raise StirError(
            f"A dataset's name must be its title in small letters with hyphens, {slug(title)!r}; "
            f"got {name!r}."
        )
    facts = Facts(
        title=title,
        num_classes=num_classes,
        instances=instances,
        channels=channels,
        licence=licence,
        attribution=attribution,
        source=source,
        benchmark=False,
        make=make,
        needs_raw=needs_raw,
    )
    _datasets[name] = facts
    return facts


def slug(title: str) -> str:
    """A title as a short name that is safe in a file name: ``"My Birds!"`` is ``my-birds``."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
