"""Make a dataset of candidate objects: choose, crop in parallel, replace unusable ones."""

import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stir import schema
from stir.cores import available_cores
from stir.errors import StirError
from stir.sources import photos
from stir.sources.crops import Cut, Sighting, cut_photo
from stir.sources.photos import Photo, UnusableError
from stir.terminal import Progress

Chosen = Mapping[str, list[Sighting]]  # label -> its objects, largest first
Result = Cut | UnusableError

SPLITS = len(schema.SPLITS)
PER_CLASS = 75  # objects, a third for each split
SMALLEST = 64  # px that an object of the benchmark has at least: it is only ever made smaller
MEMORY_BYTES = 2_000_000_000  # in all, of which
MAIN_BYTES = 550_000_000  # this process beside the dataset it fills, and
WORKER_BYTES = 110_000_000  # a worker beside its photo, at
PHOTO_BYTES = 5  # a pixel: four decoded, the rest for the compressed file


@dataclass(slots=True)
class Rows:
    """The objects of one class, and what has been cut of them so far."""

    sightings: list[Sighting]
    images: NDArray[np.uint8]
    corners: NDArray[np.int64]
    filled: set[Sighting] = field(default_factory=set)

    @classmethod
    def of(cls, sightings: list[Sighting]) -> "Rows":
        shape = (len(sightings), len(schema.SCALE_AXIS))
        pixels = (schema.CANVAS, schema.CANVAS, 3)
        return cls(sightings, np.empty((*shape, *pixels), np.uint8), np.empty((*shape, 2), int))

    def rearranged(self, wanted: list[Sighting]) -> "Rows":
        """The same cuts for another choice of objects."""
        if wanted == self.sightings:
            return self
        rows = Rows.of(wanted)
        for sighting in self.filled.intersection(wanted):
            row = self.sightings.index(sighting)
            rows.put(sighting, Cut(self.images[row], self.corners[row]))
        return rows

    def put(self, sighting: Sighting, cut: Cut) -> None:
        row = self.sightings.index(sighting)
        self.images[row], self.corners[row] = cut.images, cut.corners
        self.filled.add(sighting)


def gather(
    candidates: list[Sighting], choose: Callable[[list[Sighting]], Chosen], progress: Progress
) -> schema.Arrays:
    """The dataset of the objects that ``choose`` picks from those candidates that can be used.

    Objects that turn out to be unusable are named in a warning, and the choice is made again
    without them, so that the next largest moves up; no object is cropped twice.
    """
    candidates = list(dict.fromkeys(candidates))
    classes: dict[str, Rows] = {}
    unusable: dict[Sighting, UnusableError] = {}
    while True:
        chosen = choose([sighting for sighting in candidates if sighting not in unusable])
        classes = {
            label: classes[label].rearranged(wanted) if label in classes else Rows.of(wanted)
            for label, wanted in chosen.items()
        }
        todo = [s for rows in classes.values() for s in rows.sightings if s not in rows.filled]
        if not todo:
            break
        for sighting, result in cut_all(todo, len(chosen), progress):
            if isinstance(result, Cut):
                classes[sighting.label].put(sighting, result)
            else:
                unusable[sighting] = result
    photos.warn_of(
        [f"{sighting}, {reason}" for sighting, reason in unusable.items()],
        "objects could not be used, and the next largest took their places",
    )
    return _arrays(classes)


def _arrays(classes: dict[str, Rows]) -> schema.Arrays:
    """Every third object of a class to a split; each class is let go of once it is copied."""
    labels = list(classes)
    arrays = schema.blank(len(labels), PER_CLASS // SPLITS, 3)
    arrays["lbldata"] = np.array(labels)
    for number, label in enumerate(labels):
        rows = classes.pop(label)
        by_split = np.s_[:, :, number]
        for name, values in {"imgs": rows.images, "psts": rows.corners}.items():
            thirds = values.reshape(-1, SPLITS, *values.shape[1:])  # (instance, split, scale, ...)
            arrays[name][by_split] = np.moveaxis(thirds, 0, 2)
    return arrays


def largest(
    candidates: Iterable[Sighting], size: Callable[[Sighting], int]
) -> dict[str, list[Sighting]]:
    """The largest 75 objects of each class that has so many, in label order.

    Equal sizes keep their order of appearance.
    """
    classes: dict[str, list[Sighting]] = defaultdict(list)
    for sighting in candidates:
        classes[sighting.label].append(sighting)
    return {
        label: sorted(classes[label], key=size, reverse=True)[:PER_CLASS]
        for label in sorted(classes)
        if len(classes[label]) >= PER_CLASS
    }


def require_classes(chosen: Chosen, candidates: list[Sighting]) -> Chosen:
    """Refuse a choice of no class at all."""
    if chosen:
        return chosen
    counts: dict[str, int] = defaultdict(int)
    for sighting in candidates:
        counts[sighting.label] += 1
    most = max(counts, key=lambda label: counts[label], default=None)
    found = "no object can be used" if most is None else f"{most} has the most, {counts[most]}"
    raise StirError(
        f"A class needs at least {PER_CLASS} usable objects of {SMALLEST} px and more, and some "
        f"class must have them; of the right form and any size, {found}."
    )


def cut_all(
    todo: list[Sighting], num_classes: int, progress: Progress
) -> Iterator[tuple[Sighting, Result]]:
    """Cut objects on all cores that memory allows; each photo is decoded once."""
    by_photo: dict[Photo, list[Sighting]] = defaultdict(list)
    for sighting in todo:
        by_photo[sighting.photo].append(sighting)
    workers = min(worker_count(list(by_photo), num_classes), len(by_photo))
    for done, (sightings, results) in enumerate(_run(by_photo, workers), start=1):
        yield from zip(sightings, results, strict=True)
        progress(done, len(by_photo))


def _run(
    by_photo: dict[Photo, list[Sighting]], workers: int
) -> Iterator[tuple[list[Sighting], list[Result]]]:
    if workers == 1:
        results = map(cut_photo, by_photo, by_photo.values())
        yield from zip(by_photo.values(), results, strict=True)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        try:
            results = pool.map(cut_photo, by_photo, by_photo.values())
            yield from zip(by_photo.values(), results, strict=True)
        except BrokenProcessPool as error:
            raise StirError(
                "Cutting photos needs some 2 GB of memory; a worker process was killed, which is "
                "what the system does when memory runs out."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def worker_count(chosen: list[Photo], num_classes: int) -> int:
    """How many processes may each hold the largest of the photos at once."""
    pixels = 0
    for photo in chosen:
        with suppress(UnusableError):  # said where the photo is decoded
            width, height, _ = photos.measure(photo)
            pixels = max(pixels, width * height)
    image_bytes = schema.CANVAS**2 * 3 * len(schema.SCALE_AXIS)
    free = MEMORY_BYTES - MAIN_BYTES - num_classes * PER_CLASS * image_bytes
    return int(np.clip(free // (WORKER_BYTES + PHOTO_BYTES * pixels), 1, available_cores()))
