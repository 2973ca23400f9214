"""Test images with right and wrong answers, from the predictions that a storage keeps."""

import base64
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.image import imsave
from numpy.typing import NDArray

from analysis import style
from analysis.results.folder import ResultsFolder
from analysis.text import as_html
from stir.dataset import STIRDataset
from stir.errors import StirError
from stir.schema import SPLITS
from tune_jobs.records.evaluation import Predictions
from tune_jobs.records.keys import Kind, dataset_key, predictions_key
from tune_jobs.records.schema import RecordError
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import list_folder, read_each, require_own_key

_EACH = 6  # images with a right answer, and as many with a wrong one


@dataclass(frozen=True, slots=True)
class Answer:
    """A test image by its places in the arrays, and what was answered."""

    place: tuple[int, int, int]  # scale, class, instance, counted from 0
    predicted: int
    label: int


def chosen(predicted: NDArray, labels: NDArray, *, right: bool, most: int = _EACH) -> list[Answer]:
    """Some images with a right or a wrong answer, evenly spread from the smallest object on.

    ``predicted`` and ``labels`` have the shape (scales, classes, instances).
    """
    found = np.argwhere((predicted == labels) == right)
    spread = np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)
    places = [(int(one[0]), int(one[1]), int(one[2])) for one in found[spread]]
    return [Answer(place, int(predicted[place]), int(labels[place])) for place in places]


def samples(folder: ResultsFolder, storage: Storage) -> tuple[str, list[str]]:
    """The images of each cell's most accurate run that has predictions, as HTML; what is not there.

    Predictions come from ``tune-jobs evaluate --predictions``; the images are those of the copy
    of the dataset that the storage keeps.
    """
    parts: list[str] = []
    missing: list[str] = []
    kept = {key.point_id for key, _ in list_folder(storage, Kind.PREDICTIONS).objects}
    trials = folder.reported[folder.reported["point_id"].isin(kept)]
    best = trials.sort_values("test_accuracy", ascending=False, kind="stable")
    best = best.drop_duplicates(["dataset", "scenario", "model"]).sort_index()
    if best.empty:
        why = f"{storage.uri} has no predictions; do: tune-jobs evaluate --predictions"
        return "", [f"Sample test images: {why} --storage STORAGE."]
    for (dataset, fingerprint), runs in best.groupby(["dataset", "dataset_fingerprint"]):
        key = dataset_key(str(dataset), str(fingerprint))
        if not storage.exists(key):
            missing.append(f"Sample test images of {dataset}: {storage.uri} has no {key}.")
            continue
        try:
            images, names = _test_images(storage, key)
        except StirError as error:
            missing.append(f"Sample test images of {dataset}: {error}")
            continue
        parse, damaged = partial(_parse, shape=images.shape[:3], classes=len(names)), []
        of_runs = {predictions_key(run["point_id"]): run for run in runs.to_dict("records")}
        for at, found in read_each(storage, of_runs, parse, damaged):
            parts.append(_figure(pd.Series(of_runs[at]), found, images, names))
        missing += [f"Sample test images: {storage.uri}/{sentence}" for sentence in damaged]
    return "".join(parts), missing


def _parse(key: str, content: bytes, *, shape: tuple[int, int, int], classes: int) -> Predictions:
    """The predictions of a point; RecordError unless they are its own and of images like these."""
    found = Predictions.from_npz(content)
    require_own_key(key, predictions_key(found.point_id))
    for answers in (found.predicted, found.labels):
        if answers.shape != shape or answers.min() < 0 or answers.max() >= classes:
            found_range = f"{answers.min()} to {answers.max()}" if answers.size else "none"
            raise RecordError(
                f"Predictions must be one of {classes} classes for each test image, {shape}; got "
                f"{found_range} for {answers.shape}."
            )
    return found


def _test_images(storage: Storage, key: str) -> tuple[NDArray[np.uint8], list[str]]:
    """The test images (scales, classes, instances, ...), and what the classes are called."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "dataset.npz"
        storage.download(key, path)
        dataset = STIRDataset(path)
    return dataset.images[SPLITS.index("test")], [str(name) for name in dataset.labeldata]


def _figure(
    run: pd.Series, found: Predictions, images: NDArray[np.uint8], names: Sequence[str]
) -> str:
    name = style.model_styles([run["model"]])[run["model"]].name
    where = f"{style.dataset_name(run['dataset'])}, {style.scenario_name(run['scenario'])}"
    cell, rows = f"{run['dataset']}/{run['scenario']}", ""
    for right, word in ((True, "Right"), (False, "Wrong")):
        answers = chosen(found.predicted, found.labels, right=right)
        pictures = "".join(_picture(one, found.scales, images, names) for one in answers)
        rows += f"<div class=answers><strong>{word}</strong>{pictures or ' none'}</div>"
    title = f"{name} on {where}, seed {run['seed']}"
    return (
        f'<figure class="sample" data-cell="{as_html(cell)}" '
        f'data-model="{as_html(run["model"])}"><h3>{as_html(title)}</h3>{rows}</figure>'
    )


def _picture(
    answer: Answer, scales: NDArray, images: NDArray[np.uint8], names: Sequence[str]
) -> str:
    size = int(scales[answer.place[0]])
    said = f"{size} px: {names[answer.label]}"
    said += "" if answer.predicted == answer.label else f", answered {names[answer.predicted]}"
    return (
        f'<span><img width=64 height=64 alt="" src="{_png(images[answer.place])}">'
        f"<small>{as_html(said)}</small></span>"
    )


def _png(image: NDArray[np.uint8]) -> str:
    """An image (H, W), or (H, W, 3) in colour, as an address that holds it."""
    pixels = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels), format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
