"""How long trials will take: from records, else a calibration, else a table; pure.

Times hold for the kind of machine and the form of the layers that they were taken with; those of
others are scaled by what is known of both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from math import inf
from statistics import median
from typing import Self

from stir import SCALES, SCENARIOS
from tune_jobs.plan.prior import (
    GPU_PRIOR_MS,
    PRIOR_EPOCHS,
    PRIOR_MS,
    PRIOR_PATIENCE,
    TYPICAL_EPOCHS,
)
from tune_jobs.point import Cell, Recipe, TrialSpec, cell_of
from tune_jobs.records.calibration import Calibration, ModelSeconds
from tune_jobs.records.trial import Provenance, TrialRecord


class Source(StrEnum):
    """Where an expectation is from."""

    RECORDS = "records"
    RECORDS_ELSEWHERE = "records elsewhere"
    CALIBRATION = "calibration"
    OTHER_RECORDS = "other records"
    TABLE = "table"
    GPU_TABLE = "GPU table"


MEASURED = (Source.RECORDS, Source.RECORDS_ELSEWHERE)  # by trials, and not scaled


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """What one trial of a cell is expected to take, and where that is from."""

    seconds: float
    source: Source
    epochs: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What decides how long an image takes, as far as it is known: None is not.

    ``processor`` is the GPU where there is one.
    """

    gpu: bool
    threads: int | None
    backend: str | None
    processor: str | None

    @classmethod
    def of_record(cls, provenance: Provenance) -> Self:
        """Of the machine that a trial ran on."""
        if not provenance.device.startswith("cpu"):
            return cls.of_gpu(provenance.processor)
        return cls(
            gpu=False,
            threads=provenance.threads,
            backend=provenance.backend,
            processor=provenance.processor,
        )

    @classmethod
    def of_gpu(cls, name: str | None) -> Self:
        """Of a machine with a GPU, beside which its CPU counts for little."""
        return cls(gpu=True, threads=None, backend=None, processor=name)

    def is_like(self, other: "Kind") -> bool:
        """Whether times of the one hold for the other; a processor that is not stated may."""
        processors = {self.processor, other.processor} - {None}
        return len(processors) < 2 and replace(self, processor=None) == replace(
            other, processor=None
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Here:
    """The machine that trials will run on, and its seconds per image as far as calibrated.

    With ``exactly``, times count as its own only if its very processor is stated.
    """

    kind: Kind
    models: Mapping[str, ModelSeconds] = field(default_factory=dict)
    exactly: bool = False

    @classmethod
    def of_calibration(cls, calibration: Calibration | None) -> Self:
        """A machine, with what was measured of it, which may be nothing; None: some GPU."""
        if calibration is None:
            return cls(kind=Kind.of_gpu(None))
        if calibration.device != "cpu":
            return cls(kind=Kind.of_gpu(calibration.processor), models=calibration.models)
        kind = Kind(
            gpu=False,
            threads=calibration.threads,
            backend=calibration.backend,
            processor=calibration.processor,
        )
        return cls(kind=kind, models=calibration.models)

    def is_like(self, kind: Kind) -> bool:
        """Whether times of a kind of machine hold here."""
        return kind == self.kind if self.exactly else self.kind.is_like(kind)


ImageSeconds = Mapping[tuple[str, str], ModelSeconds]  # of a model and a dataset


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of models: seconds per image, and of cells: numbers of epochs.

    ``records`` are those of machines like the one that trials will run on, ``calibrated`` was
    measured on it, ``others`` are records of each other kind of machine, the most frequent first.
    ``gpu`` says that it has one, ``elsewhere`` that another processor made the records.
    """

    records: ImageSeconds
    epochs: Mapping[Cell, float]
    calibrated: Mapping[str, ModelSeconds] = field(default_factory=dict)
    others: tuple[ImageSeconds, ...] = ()
    gpu: bool = False
    elsewhere: bool = False

    def of(self, model: str, dataset: str) -> tuple[ModelSeconds, Source] | None:
        """Seconds per image: from records, of another dataset if need be, else a calibration.

        Else from records of other machines, then from the table, each corrected by how much longer
        or shorter models take here; None for a model that is in none of them.
        """
        found = _model_seconds(self.records, model, dataset)
        if found:
            return found, Source.RECORDS_ELSEWHERE if self.elsewhere else Source.RECORDS
        if model in self.calibrated:
            return self.calibrated[model], Source.CALIBRATION
        for other in self.others:
            found = _model_seconds(other, model, dataset)
            factor = _factor(self._known or self._table, _by_model(other))
            if found and factor:
                return _scaled(found, factor), Source.OTHER_RECORDS
        if model not in self._table:
            return None
        source = Source.GPU_TABLE if self.gpu else Source.TABLE
        return _scaled(self._table[model], _factor(self._known, self._table) or 1.0), source

    @property
    def _table(self) -> dict[str, ModelSeconds]:
        """What models take on the machine that the table is of."""
        prior = GPU_PRIOR_MS if self.gpu else PRIOR_MS
        return {model: _from_ms(*milliseconds) for model, milliseconds in prior.items()}

    @property
    def _known(self) -> dict[str, ModelSeconds]:
        """What models take on the machine that trials will run on."""
        return dict(self.calibrated) | _by_model(self.records)


def _model_seconds(measured: ImageSeconds, model: str, dataset: str) -> ModelSeconds | None:
    return measured.get((model, dataset)) or _by_model(measured).get(model)


def _by_model(measured: ImageSeconds) -> dict[str, ModelSeconds]:
    return {model: each for (model, _), each in reversed([*measured.items()])}


def _factor(here: Mapping[str, ModelSeconds], there: Mapping[str, ModelSeconds]) -> float | None:
    """Seconds that models take here over those there, the median over models known of both."""
    ratios = [
        (here[model].train + here[model].valid) / (there[model].train + there[model].valid)
        for model in here.keys() & there.keys()
    ]
    return median(ratios) if ratios else None


def _scaled(seconds: ModelSeconds, factor: float) -> ModelSeconds:
    return ModelSeconds(train=seconds.train * factor, valid=seconds.valid * factor)


def measure(
    records: Iterable[TrialRecord], images_per_scale: Mapping[str, int], here: Here | None = None
) -> Measured:
    """Medians over records; ``images_per_scale`` of each dataset, in one split.

    Without ``here`` all records count as if they were of one kind of machine, which is meant. Of a
    machine that is not known at all, those of another processor with the same form of the layers
    are taken: trials will run where they ran, on a cluster, say.
    """
    of_kinds: dict[Kind, list[TrialRecord]] = {}
    epochs: dict[Cell, list[int]] = {}
    for record in records:
        of_kinds.setdefault(Kind.of_record(record.provenance), []).append(record)
        epochs.setdefault(cell_of(record.point), []).append(len(record.epochs))
    alike = [kind for kind in of_kinds if here is None or here.is_like(kind)]
    elsewhere = here is not None and not here.models and not here.exactly and not alike
    if here and elsewhere:
        anywhere = replace(here.kind, processor=None)
        alike = [kind for kind in of_kinds if anywhere.is_like(kind)]
    others = [of_kinds[kind] for kind in of_kinds if kind not in alike]
    return Measured(
        _image_seconds(chain.from_iterable(of_kinds[kind] for kind in alike), images_per_scale),
        {cell: median(values) for cell, values in epochs.items()},
        here.models if here else {},
        tuple(
            _image_seconds(of_kind, images_per_scale)
            for of_kind in sorted(others, key=len, reverse=True)
        ),
        gpu=here is not None and here.kind.gpu,
        elsewhere=elsewhere,
    )


def _image_seconds(
    records: Iterable[TrialRecord], images_per_scale: Mapping[str, int]
) -> ImageSeconds:
    seconds: dict[tuple[str, str], list[ModelSeconds]] = {}
    for record in records:
        point = record.point
        images = images_per_scale[point.dataset] * len(SCENARIOS[point.scenario].train_scales)
        seconds.setdefault((point.model, point.dataset), []).append(per_image(record, images))
    return {
        key: ModelSeconds(
            train=median(value.train for value in values),
            valid=median(value.valid for value in values),
        )
        for key, values in seconds.items()
    }


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


def per_image(record: TrialRecord, images: int) -> ModelSeconds:
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
    prior = _from_ms(*PRIOR_MS.get(record.point.model, (1.0, 1.0)))
    both = median(epoch.seconds for epoch in record.epochs) / images
    share = prior.train / (prior.train + prior.valid)
    return ModelSeconds(train=both * share, valid=both * (1 - share))


def _from_ms(train: float, valid: float) -> ModelSeconds:
    return ModelSeconds(train=train / 1000, valid=valid / 1000)


def _prior_epochs(cell: Cell, recipe: Recipe) -> int:
    of_model = PRIOR_EPOCHS.get(cell.model, {})
    epochs = of_model.get(cell.dataset.partition("@")[0], TYPICAL_EPOCHS)
    return min(recipe.max_epochs, epochs - PRIOR_PATIENCE + recipe.patience)
