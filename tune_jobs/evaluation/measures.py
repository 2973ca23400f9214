"""Measure finished weights: equivariance errors, chosen kernel sizes, predicted classes."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from siconvnet import MODELS, build_model
from siconvnet.evaluation.equivariance import SCALE_PAIRS, SCALES, equivariance_errors
from siconvnet.evaluation.objects import ObjectImages
from siconvnet.evaluation.pool_scales import chosen_indices, pool_scales, pooled_stages
from stir import STIRDataset
from stir.schema import CANVAS, SPLITS
from stir.terminal import counted, silent
from tune_jobs.errors import TuneJobsError
from tune_jobs.records.evaluation import (
    ALWAYS,
    Evaluation,
    IndexMaps,
    ObjectIndex,
    Predictions,
    Wanted,
)
from tune_jobs.records.keys import (
    dataset_key,
    evaluation_key,
    maps_key,
    predictions_key,
)
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.storage.datasets import fetch_dataset
from tune_jobs.storage.reader import read_record
from tune_jobs.trial.checkpoint import OUT_OF_MEMORY, tensors_from_bytes
from tune_jobs.trial.memory import keep_freed_memory

CHANNELS = (1, 3)  # of images in the STIR format
BATCH_SIZE = 16  # objects, each at six scales for equivariance errors
MAP_SCALES = (17, 33, 48, 64)  # pixels, of an object whose whole index maps are kept
Progress = Callable[[int, int], None]  # images done, images in all; may raise to stop


def load_model(storage: Storage | str, point_id: str) -> nn.Module:
    """The model of a finished point with its best epoch's weights, on the CPU, to be evaluated.

    Raises TuneJobsError for a point that has no record in ``storage``, a folder or
    ``s3://bucket/prefix``, and for weights that are missing, damaged or not its model's.
    """
    storage = storage if isinstance(storage, Storage) else Storage(storage)
    return _model(_record(storage, point_id), storage)


def evaluate_point(
    point_id: str,
    storage: Storage,
    wanted: Wanted = ALWAYS,
    *,
    progress: Progress = silent,
) -> None:
    """Store what is not there yet of what is wanted of a finished point.

    The images are mapped from this node's copy of the dataset, and passed a batch at a time.
    """
    record = _record(storage, point_id)
    todo = [key for key in wanted.keys(point_id) if not storage.exists(key)]
    if not todo:
        return
    keep_freed_memory()
    model = _model(record, storage)
    dataset = fetch_dataset(dataset_key(record.point.dataset, record.dataset_fingerprint), storage)
    objects = objects_to_test(dataset)
    passes = passes_of(record, model, todo, channels=dataset.num_channels)
    before = 0

    def within(done: int, total: int = 0) -> None:
        progress(before + done, passes.total)

    if evaluation_key(point_id) in todo:
        evaluation = evaluate(record, model, objects, within)
        storage.write(evaluation_key(point_id), evaluation.to_npz())
        before += passes.errors + passes.sizes
    if predictions_key(point_id) in todo:
        labels = dataset.labels[SPLITS.index("test")]
        answers = predict(record, model, objects, labels, within)
        storage.write(predictions_key(point_id), answers.to_npz())
        before += passes.answers
    for place in wanted.maps:
        if maps_key(point_id, place) in todo:
            maps = index_maps(record, model, objects, place)
            storage.write(maps_key(point_id, place), maps.to_npz())
            before += len(MAP_SCALES)
            within(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passes:
    """How many images go through a model: for errors, for chosen sizes, for answers, for maps."""

    errors: int
    sizes: int
    answers: int
    maps: int

    @property
    def total(self) -> int:
        return self.errors + self.sizes + self.answers + self.maps


def passes_of(
    record: TrialRecord, model: nn.Module, todo: Sequence[str], *, channels: int
) -> Passes:
    """What it takes to store ``todo``, keys of a point whose record counts the test images."""
    every = sum(scale.total for scale in record.scales)
    objects = every // len(record.scales)
    evaluated = evaluation_key(record.point_id) in todo
    answered = predictions_key(record.point_id) in todo
    return Passes(
        errors=len(SCALES) * objects * (evaluated and _has_stage_maps(model, channels)),
        sizes=every * (evaluated and _pools_scales(model)),
        answers=every * answered,
        maps=len(MAP_SCALES) * (len(todo) - evaluated - answered),
    )


def evaluate(
    record: TrialRecord, model: nn.Module, objects: ObjectImages, progress: Progress = silent
) -> Evaluation:
    """Measure all that applies to the model; what does not is empty."""
    classes, instances = objects.grid
    errors = np.empty((0, classes, instances, len(SCALE_PAIRS)))
    sizes: tuple[np.ndarray, ...] = ()
    has_maps = _has_stage_maps(model, objects.images.shape[-3])
    pools = _pools_scales(model)
    for_errors = has_maps * len(objects) * len(SCALES)
    total = for_errors + pools * len(objects) * len(objects.scales)
    if has_maps:
        errors = equivariance_errors(
            model,
            objects,
            batch_size=BATCH_SIZE,
            progress=lambda done: progress(done * len(SCALES), total),
        ).numpy()
    if pools:
        found = pool_scales(
            model,
            objects,
            batch_size=BATCH_SIZE,
            progress=lambda done: progress(for_errors + done, total),
        )
        sizes = tuple(stage.numpy().astype(np.float32) for stage in found)
    return Evaluation(
        point_id=record.point_id,
        weights_key=record.weights_key,
        equivariance=errors,
        pairs=np.array(SCALE_PAIRS, dtype=np.int64),
        pool_scales=sizes,
        scales=np.array(objects.scales, dtype=np.int64),
    )


@torch.no_grad()
def predict(
    record: TrialRecord,
    model: nn.Module,
    objects: ObjectImages,
    labels: NDArray,
    progress: Progress = silent,
) -> Predictions:
    """The class with the largest logit of every test image, beside the right one."""
    model.eval()
    predicted = np.empty((len(objects.scales), len(objects)), dtype=np.int64)
    for row, scale in enumerate(objects.scales):
        for start in range(0, len(objects), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            images, _ = objects.batch(scale, part, torch.device("cpu"))
            predicted[row, part] = model(images).argmax(dim=1).numpy()
            progress(row * len(objects) + start + len(images), predicted.size)
    return Predictions(
        point_id=record.point_id,
        weights_key=record.weights_key,
        predicted=predicted.reshape(len(objects.scales), *objects.grid),
        labels=labels.astype(np.int64),
        scales=np.array(objects.scales, dtype=np.int64),
    )


def index_maps(
    record: TrialRecord, model: nn.Module, objects: ObjectImages, place: ObjectIndex
) -> IndexMaps:
    """The chosen kernel size at every pixel, of one object at MAP_SCALES."""
    classes, instances = objects.grid
    if place.class_index >= classes or place.instance >= instances:
        raise TuneJobsError(
            f"An object must be one of {classes} classes (from 0) with "
            f"{counted(instances, 'instance')} each; got {place.class_index}/{place.instance}."
        )
    missing = [scale for scale in MAP_SCALES if scale not in objects.scales]
    if missing:
        raise TuneJobsError(f"Index maps need objects at {MAP_SCALES} pixels; {missing} not there.")
    rows = [objects.scales.index(scale) for scale in MAP_SCALES]
    images = objects.images[rows, place.class_index, place.instance].float().div_(255.0)
    maps: list[NDArray[np.uint8]] = []
    if _pools_scales(model):
        for stage, indices in zip(pooled_stages(model), chosen_indices(model, images), strict=True):
            sides = torch.tensor(stage.conv.sides, dtype=torch.uint8)[indices]
            if sides.ndim == 4:
                maps.append(sides.movedim(1, 0).numpy())
    return IndexMaps(
        point_id=record.point_id,
        weights_key=record.weights_key,
        object=place,
        maps=tuple(maps),
        scales=np.array(MAP_SCALES, dtype=np.int64),
    )


def objects_to_test(dataset: STIRDataset) -> ObjectImages:
    """A dataset's test split, every object at every scale, without a copy of the images."""
    split = SPLITS.index("test")
    with warnings.catch_warnings():
        # Mapped read-only; nothing here writes to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images = torch.from_numpy(dataset.images[split])
    images = images.movedim(-1, -3) if dataset.num_channels == 3 else images.unsqueeze(-3)
    return ObjectImages(
        images=images,
        positions=torch.from_numpy(np.array(dataset.positions[split], dtype=np.int64)),
        scales=tuple(dataset.scales[split, :, 0, 0].tolist()),
    )


def _record(storage: Storage, point_id: str) -> TrialRecord:
    try:
        return read_record(storage, point_id)
    except FileNotFoundError:
        raise TuneJobsError(
            f"A point must have a record in the storage; {storage.uri} has none of {point_id!r}."
        ) from None


def _model(record: TrialRecord, storage: Storage) -> nn.Module:
    data = _weights(record, storage)
    model, _ = network_of(record)
    _load(model, data, record)
    return model.eval()


def network_of(record: TrialRecord) -> tuple[nn.Module, int]:
    """A model like that of a record, with other weights, and the channels that its images have.

    Raises TuneJobsError if no model of that name has as many parameters.
    """
    for channels in CHANNELS:  # a record does not say, but how many parameters there were
        model = build_model(
            record.point.model,
            in_channels=channels,
            num_classes=record.num_classes,
            kernel_size=record.point.kernel_size,
            interpolation=record.point.interpolation or "bicubic",
        )
        if sum(weight.numel() for weight in model.parameters()) == record.num_parameters:
            return model.eval(), channels
    raise TuneJobsError(
        f"{record.point.model} must have the {record.num_parameters} parameters that the record "
        f"{record.point_id} says; it has other ones."
        f"{_other_version(record) or ' Has its code changed?'}"
    )


def _weights(record: TrialRecord, storage: Storage) -> bytes:
    try:
        return storage.read(record.weights_key)
    except FileNotFoundError:
        raise TuneJobsError(
            f"The weights of a record must be in its storage; {storage.uri} has no "
            f"{record.weights_key}. Remove the record, and a run trains the point again."
        ) from None


def _load(model: nn.Module, data: bytes, record: TrialRecord) -> None:
    try:
        model.load_state_dict(tensors_from_bytes(data))
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # what torch and zip raise for other bytes has no end
        reason = " ".join(str(error).split())
        raise TuneJobsError(
            f"Weights must be those of {record.point.model} as torch.save writes them; "
            f"{record.weights_key} are not: {type(error).__name__}: {reason:.300}"
            f"{_other_version(record)}"
        ) from None


def _other_version(record: TrialRecord) -> str:
    """A hint at the code that has the model of a record, if this one has another version of it."""
    now = MODELS[record.point.model].version
    if now == record.model_version:
        return ""
    commit = record.provenance.git_sha
    return (
        f" They are of its version {record.model_version}, this code has {now}; "
        f"{f'commit {commit[:12]}' if commit else 'the code that trained it'} reads them."
    )


def _has_stage_maps(model: nn.Module, channels: int) -> bool:
    """Whether each stage has one map a channel, laid over the image."""
    feature_maps = getattr(model, "feature_maps", None)
    if feature_maps is None:
        return False
    try:
        with torch.no_grad():
            image = torch.zeros(1, channels, CANVAS, CANVAS)
            return all(maps.ndim == 4 for maps in feature_maps(image))
    except ValueError:  # what models say whose maps lie otherwise
        return False


def _pools_scales(model: nn.Module) -> bool:
    try:
        pooled_stages(model)
    except ValueError:
        return False
    return True
