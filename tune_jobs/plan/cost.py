"""How long trials will take: from records, else a calibration, else a table; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from statistics import median
from types import MappingProxyType

from stir import SCALES, SCENARIOS
from tune_jobs.point import Cell, Recipe, TrialSpec, cell_of
from tune_jobs.records.calibration import ModelSeconds
from tune_jobs.records.trial import TrialRecord

# Milliseconds per image, in training and in inference, on one thread of an AMD EPYC with AVX-512,
# layers by compiled loops, kernels of 7 pixels, batches of 16; measured with `tune-jobs calibrate`
# in November 2026. Of other machines and of the PyTorch form, calibrations and records say more.
PRIOR_MS: Mapping[str, tuple[float, float]] = {
    "standard": (0.6, 0.5),
    "pixel_pool": (5.2, 3.6),
    "slice_pool": (4.4, 3.5),
    "energy_pool": (3.7, 2.7),
    "energy_pool_valid": (3.7, 2.7),
    "conv3d": (11.4, 13.4),
    "ensemble": (1.3, 0.9),
    "spatial_transform": (2.1, 0.8),
    "xu": (2.8, 2.5),
    "xu_corrected": (2.7, 2.6),
    "kanazawa": (11.4, 15.7),
    "hermite": (2.1, 1.2),
    "disco": (2.1, 1.3),
    "scale_select": (1.4, 0.7),
    "scale_select_k": (2.5, 1.4),
}

# The mean number of epochs of the 5,500 published runs, which stopped after 10 without a better
# validation accuracy: wall-clock time of a run over its time per epoch.
_DATASETS = ("emoji", "mnist", "trafficsign", "aerial")
PRIOR_EPOCHS: Mapping[str, Mapping[str, int]] = {
    model: dict(zip(_DATASETS, epochs, strict=True))
    for model, epochs in {
        "standard": (73, 47, 73, 76),
        "pixel_pool": (52, 44, 60, 53),
        "slice_pool": (47, 41, 68, 54),
        "energy_pool": (64, 71, 48, 49),
        "conv3d": (57, 52, 63, 55),
        "ensemble": (87, 45, 79, 67),
        "spatial_transform": (57, 34, 64, 58),
        "xu": (83, 43, 80, 59),
        "kanazawa": (98, 55, 98, 74),
        "hermite": (79, 45, 46, 55),
        "disco": (81, 45, 51, 56),
    }.items()
}
TYPICAL_EPOCHS = 61  # the mean of the table
PRIOR_PATIENCE = 10


class Source(StrEnum):
    """Where an expectation is from."""

    RECORDS = "records"
    CALIBRATION = "calibration"
    TABLE = "table"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """What one trial of a cell is expected to take, and where that is from."""

    seconds: float
    source: Source
    epochs: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What records say of each model and dataset: seconds per image, and numbers of epochs.

    ``calibrated`` has seconds per image of models on the machine that the trials will run on.
    """

    image_seconds: Mapping[tuple[str, str], ModelSeconds]
    epochs: Mapping[Cell, float]
    calibrated: Mapping[str, ModelSeconds] = field(default_factory=dict)

    def of(self, model: str, dataset: str) -> tuple[ModelSeconds, Source] | None:
        """Seconds per image: from records, of another dataset if need be, else a calibration.

        Else from the table, corrected by how much longer or shorter other models took than it
        says; None for a model that is in neither.
        """
        found = self.image_seconds.get((model, dataset)) or self._elsewhere(model)
        if found:
            return found, Source.RECORDS
        if model in self.calibrated:
            return self.calibrated[model], Source.CALIBRATION
        if model not in PRIOR_MS:
            return None
        prior = _prior(model)
        return (
            ModelSeconds(train=prior.train * self._factor, valid=prior.valid * self._factor),
            Source.TABLE,
        )

    def _elsewhere(self, model: str) -> ModelSeconds | None:
        return next((each for key, each in self.image_seconds.items() if key[0] == model), None)

    @property
    def _factor(self) -> float:
        """Seconds that models took over those of the table, the median over models."""
        known = dict(self.calibrated) | {key[0]: each for key, each in self.image_seconds.items()}
        ratios = [
            (each.train + each.valid) / (_prior(model).train + _prior(model).valid)
            for model, each in known.items()
            if model in PRIOR_MS
        ]
        return median(ratios) if ratios else 1.0


def measure(
    records: Iterable[TrialRecord],
    images_per_scale: Mapping[str, int],
    calibrated: Mapping[str, ModelSeconds] = MappingProxyType({}),
) -> Measured:
    """Medians over records; ``images_per_scale`` of each dataset, in one split."""
    seconds: dict[tuple[str, str], list[ModelSeconds]] = {}
    epochs: dict[Cell, list[int]] = {}
    for record in records:
        point = record.point
        images = images_per_scale[point.dataset] * len(SCENARIOS[point.scenario].train_scales)
        seconds.setdefault((point.model, point.dataset), []).append(_per_image(record, images))
        epochs.setdefault(cell_of(point), []).append(len(record.epochs))
    return Measured(
        {
            key: ModelSeconds(
                train=median(value.train for value in values),
                valid=median(value.valid for value in values),
            )
            for key, values in seconds.items()
        },
        {cell: median(values) for cell, values in epochs.items()},
        calibrated,
    )


def expect(
    cell: Cell, recipe: Recipe, images_per_scale: int, measured: Measured
) -> Expectation | None:
    """What a trial of a cell takes; None for a model of which nothing is known."""
    found = measured.of(cell.model, cell.dataset)
    if found is None:
        return None
    each, source = found
    train_images = images_per_scale * len(SCENARIOS[cell.scenario].train_scales)
    epochs = measured.epochs.get(cell, _prior_epochs(cell, recipe))
    testing = each.valid * images_per_scale * len(SCALES)
    # An epoch validates on as many images as it trains on.
    return Expectation(
        seconds=epochs * (each.train + each.valid) * train_images + testing,
        source=source,
        epochs=epochs,
    )


def forecast(
    specs: Iterable[TrialSpec], images_per_scale: Mapping[str, int]
) -> dict[str, Expectation]:
    """What the table says of each trial, by its point's label; models it lacks are left out.

    ``images_per_scale`` of each dataset, in one split.
    """
    expected = {
        spec.point.label: expect(
            cell_of(spec.point), spec.recipe, images_per_scale[spec.point.dataset], Measured({}, {})
        )
        for spec in specs
    }
    return {label: trial for label, trial in expected.items() if trial}


def costliest_first(
    specs: Iterable[TrialSpec], images_per_scale: Mapping[str, int]
) -> tuple[TrialSpec, ...]:
    """Trials in the order in which they are all done soonest, by the times in the table.

    A model that is not in the table may be the costliest of all, and so comes first. Equally
    costly trials keep their order. ``images_per_scale`` of each dataset, in one split.
    """

    trials = tuple(specs)
    expected = forecast(trials, images_per_scale)

    def seconds(spec: TrialSpec) -> float:
        trial = expected.get(spec.point.label)
        return trial.seconds if trial else inf

    return tuple(sorted(trials, key=seconds, reverse=True))


def _per_image(record: TrialRecord, images: int) -> ModelSeconds:
    """Medians over the epochs of a record, which has as many validation as training images.

    A record that did not time the two apart is divided as the table says.
    """
    timed = [
        (epoch.train_seconds, epoch.valid_seconds)
        for epoch in record.epochs
        if epoch.train_seconds is not None and epoch.valid_seconds is not None
    ]
    if timed:
        train, valid = (median(seconds) for seconds in zip(*timed, strict=True))
        return ModelSeconds(train=train / images, valid=valid / images)
    prior = _prior(record.point.model)
    both = median(epoch.seconds for epoch in record.epochs) / images
    share = prior.train / (prior.train + prior.valid)
    return ModelSeconds(train=both * share, valid=both * (1 - share))


def _prior(model: str) -> ModelSeconds:
    train_ms, valid_ms = PRIOR_MS.get(model, (1.0, 1.0))
    return ModelSeconds(train=train_ms / 1000, valid=valid_ms / 1000)


def _prior_epochs(cell: Cell, recipe: Recipe) -> int:
    of_model = PRIOR_EPOCHS.get(cell.model, {})
    epochs = of_model.get(cell.dataset.partition("@")[0], TYPICAL_EPOCHS)
    return min(recipe.max_epochs, epochs - PRIOR_PATIENCE + recipe.patience)
