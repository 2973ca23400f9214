"""The datasets known by name: their size, where they come from and on what terms."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

BY_NC_SA = "CC BY-NC-SA 4.0"
PUBLISHED = "Zenodo record 6578038, doi:10.5281/zenodo.6578038"


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

DATASETS: Mapping[str, Facts] = MappingProxyType(
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
