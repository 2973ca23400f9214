"""A study whose datasets are open: what identifies its trials, and the trials of some points."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import stir
from siconvnet import MODELS
from stir import DATASETS, DatasetSummary, StirError
from stir.catalogue import BUILT_IN
from stir.terminal import step
from tune_jobs.errors import TuneJobsError
from tune_jobs.point import GridPoint, OpenPoint, Recipe, TrialSpec, require_name
from tune_jobs.study.study import Phase, Study


@dataclass(frozen=True, slots=True)
class Plan:
    """Trials in the order they will run, and the datasets they use, by point.dataset."""

    study: Study
    specs: tuple[TrialSpec, ...]
    datasets: Mapping[str, DatasetSummary]


@dataclass(frozen=True, slots=True)
class OpenedStudy:
    """A study whose datasets were looked for.

    Its points go by the names that datasets have in their metadata; ``names`` has these by what
    was asked for. ``missing`` says why a dataset could not be opened; its points keep the name
    that was asked for.
    """

    study: Study
    datasets: Mapping[str, DatasetSummary]
    missing: Mapping[str, StirError]
    names: Mapping[str, str]

    def is_here(self, point: GridPoint) -> bool:
        return point.dataset in self.datasets

    @property
    def images_per_scale(self) -> dict[str, int]:
        """Of one split of each dataset that is here, built in, or known by name to the study."""
        listed = dict(BUILT_IN) | {
            name: DATASETS[name] for name in self.missing if name in DATASETS
        }
        known = {name: facts.num_classes * facts.instances for name, facts in listed.items()}
        here = {name: data.num_classes * data.instances for name, data in self.datasets.items()}
        return known | here

    def spec(self, point: GridPoint, recipe: Recipe | None = None) -> TrialSpec:
        """What identifies the trial of a point; raises StirError if its dataset is missing.

        The samples of a search have recipes of their own.
        """
        if point.dataset in self.missing:
            raise self.missing[point.dataset]
        return TrialSpec(
            point=point,
            recipe=recipe or self.study.recipe,
            model_version=MODELS[point.model].version,
            dataset_fingerprint=self.datasets[point.dataset].fingerprint,
        )

    def plan(self, points: Iterable[GridPoint]) -> Plan:
        """The trials of some points; raises StirError if one of their datasets is missing."""
        specs = tuple(map(self.spec, points))
        names = dict.fromkeys(spec.point.dataset for spec in specs)
        return Plan(self.study, specs, {name: self.datasets[name] for name in names})


def open_study(
    study: Study,
    data_dir: str | Path | None,
    opened: Mapping[str, DatasetSummary] = MappingProxyType({}),
) -> OpenedStudy:
    """Open the datasets of a study, those that are there and not ``opened`` already."""
    wanted = [
        point.cell.dataset if isinstance(point, OpenPoint) else point.dataset
        for phase in study.phases
        for point in phase.points
    ]
    if study.search:
        wanted += study.search.space.probes("dataset")
    names: dict[str, str] = {}
    datasets: dict[str, DatasetSummary] = {}
    missing: dict[str, StirError] = {}
    for asked in dict.fromkeys(wanted):
        try:
            with step(f"reading the dataset {asked}"):
                dataset = opened.get(asked) or _summary(asked, data_dir, study.folder)
        except StirError as error:
            names[asked], missing[asked] = asked, error
        else:
            require_name("dataset", dataset.name)
            _refuse_namesake(datasets.get(dataset.name), dataset)
            names[asked], datasets[dataset.name] = dataset.name, dataset
    phases = tuple(_renamed(phase, names) for phase in study.phases)
    search = study.search and study.search.with_datasets(names)
    return OpenedStudy(replace(study, phases=phases, search=search), datasets, missing, names)


def _summary(asked: str, data_dir: str | Path | None, folder: Path | None) -> DatasetSummary:
    """Of a dataset in the data folder; where none is given, beside the study's file too."""
    is_path = "/" in asked or asked.endswith(".npz")
    beside = folder if is_path or data_dir is None else None
    return stir.load(asked, data_dir, beside=beside).summary


def _refuse_namesake(first: DatasetSummary | None, second: DatasetSummary) -> None:
    if first and first.fingerprint != second.fingerprint:
        raise TuneJobsError(
            f"Datasets of one study must have different names; {first.path} and {second.path} "
            f"differ and are both called {first.name!r}. Change the title in the metadata of one."
        )


def make_plan(study: Study, data_dir: str | Path | None) -> Plan:
    """The trials of all points whose learning rate the study gives.

    A dataset given by path goes by the name in its metadata from here on. Raises StirError for a
    dataset that is not there or damaged.
    """
    opened = open_study(study, data_dir)
    return opened.plan(opened.study.points)


def _renamed(phase: Phase, names: Mapping[str, str]) -> Phase:
    def renamed(point: GridPoint | OpenPoint) -> GridPoint | OpenPoint:
        if isinstance(point, OpenPoint):
            return OpenPoint(replace(point.cell, dataset=names[point.cell.dataset]), point.seed)
        return replace(point, dataset=names[point.dataset])

    return replace(phase, points=tuple(map(renamed, phase.points)))
