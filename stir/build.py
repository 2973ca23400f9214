"""Build a dataset from its raw source and write it as one STIR file."""

import logging
from pathlib import Path

import numpy as np

from stir import archive, schema
from stir.catalogue import DATASETS, Facts
from stir.errors import StirError
from stir.sources import aerial, clutter, emoji, mnist, shapes, trafficsign
from stir.terminal import Progress, silent

log = logging.getLogger("stir")

VERSION = "2.0.0"  # of our builds; the published files are 1.0.0
DATE = "22 November 2026"
AUTHOR = "scale-generalization, after Thomas R. Altstidl et al. (2023), arXiv:2211.10288"
WITHOUT_RAW = {"emoji": emoji.make, "shapes": shapes.make, "emoji-clutter": clutter.make}
FROM_RAW = {"mnist": mnist.make, "trafficsign": trafficsign.make, "aerial": aerial.make}


def build(
    name: str,
    *,
    out_dir: str | Path,
    raw_dir: str | Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Build a dataset and write ``out_dir/NAME.npz``, whole or not at all; returns that path.

    ``raw_dir`` holds the source's own files, for the datasets that have them.
    """
    archive.require_writable(Path(out_dir))
    arrays = _arrays(name, raw_dir, progress)
    arrays["metadata"] = np.array(list(_metadata(DATASETS[name]).items()))
    found = schema.faults(arrays)
    if found:
        raise StirError(f"A built dataset must pass its own check; {name} does not: {found[0]}")
    if len(arrays["lbldata"]) != DATASETS[name].num_classes:
        log.warning(
            "%s as published has %d classes; these raw files give %d, so that results cannot be "
            "compared with published ones.",
            name,
            DATASETS[name].num_classes,
            len(arrays["lbldata"]),
        )
    path = Path(out_dir) / f"{name}.npz"
    archive.write(path, arrays)
    return path


def _arrays(name: str, raw_dir: str | Path | None, progress: Progress) -> schema.Arrays:
    if name in WITHOUT_RAW:
        return WITHOUT_RAW[name](progress)
    if name not in FROM_RAW:
        known = ", ".join([*WITHOUT_RAW, *FROM_RAW])
        raise StirError(f"A dataset to build must be one of {known}; got {name!r}.")
    if raw_dir is None:
        raise StirError(
            f"{name} is built from {DATASETS[name].source}; got no folder of them, which --raw DIR "
            "gives."
        )
    if not Path(raw_dir).is_dir():
        raise StirError(f"The raw files of {name} must lie in a folder; {raw_dir} is not one.")
    return FROM_RAW[name](Path(raw_dir), progress)


def _metadata(facts: Facts) -> dict[str, str]:
    kind = "" if facts.benchmark else " Not part of the STIR benchmark."
    return {
        "title": facts.title,
        "description": f"{facts.num_classes} kinds of objects at sides from 17 to 64 pixels, each "
        f"at a random place in a 64 x 64 image. Built from {facts.source}, seed 42.{kind}",
        "author": AUTHOR,
        "license": f"{facts.licence} {facts.attribution}",
        "version": VERSION,
        "date": DATE,
    }
