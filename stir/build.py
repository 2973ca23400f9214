"""Build a dataset from its raw source and write it as one STIR file."""

import logging
from pathlib import Path

import numpy as np

from stir import archive, schema
from stir.catalogue import BUILT_IN, DATASETS, Facts
from stir.errors import StirError
from stir.sources import aerial, clutter, emoji, mnist, shapes, trafficsign
from stir.terminal import Progress, near, silent

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
    facts = DATASETS[name]
    arrays["metadata"] = np.array(list(_metadata(facts).items()))
    found = schema.faults(arrays)
    if found:
        raise StirError(f"A built dataset must pass its own check; {name} does not: {found[0]}")
    if facts.benchmark and len(arrays["lbldata"]) != facts.num_classes:
        log.warning(
            "%s as published has %d classes; these raw files give %d, so that results cannot be "
            "compared with published ones.",
            name,
            facts.num_classes,
            len(arrays["lbldata"]),
        )
    path = Path(out_dir) / f"{name}.npz"
    archive.write(path, arrays)
    return path


def _arrays(name: str, raw_dir: str | Path | None, progress: Progress) -> schema.Arrays:
    if name in WITHOUT_RAW:
        return WITHOUT_RAW[name](progress)
    if name not in FROM_RAW and (name not in DATASETS or name in BUILT_IN):
        others = [other for other in DATASETS if other not in BUILT_IN]
        known = [*WITHOUT_RAW, *FROM_RAW, *others]
        raise StirError(
            f"A dataset to build must be one of {', '.join(known)}; got {name!r}."
            f"{near(name, known)}"
        )
    facts = DATASETS[name]
    if raw_dir is None and (name in FROM_RAW or facts.needs_raw):
        raise StirError(
            f"{name} is built from {facts.source}; got no folder of them, which --raw DIR gives."
        )
    if raw_dir is not None and not Path(raw_dir).is_dir():
        raise StirError(f"The raw files of {name} must lie in a folder; {raw_dir} is not one.")
    raw = None if raw_dir is None else Path(raw_dir)
    if facts.make is not None:
        return dict(facts.make(raw_dir=raw, progress=progress))
    assert raw is not None
    return FROM_RAW[name](raw, progress)


def _metadata(facts: Facts) -> dict[str, str]:
    kind = "" if facts.benchmark else " Not part of the STIR benchmark."
    seed = "" if facts.make else ", seed 42"
    return {
        "title": facts.title,
        "description": f"{facts.num_classes} kinds of objects at sides from 17 to 64 pixels, each "
        f"at a random place in a 64 x 64 image. Built from {facts.source}{seed}.{kind}",
        "author": facts.attribution if facts.make else AUTHOR,
        "license": f"{facts.licence} {facts.attribution}",
        "version": "not stated" if facts.make else VERSION,
        "date": "not stated" if facts.make else DATE,
    }
