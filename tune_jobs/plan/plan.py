"""What a study still has to do, from the objects that exist and nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import stir
from siconvnet import MODELS
from stir import DATASETS, DatasetSummary, StirError
from tune_jobs.errors import TuneJobsError
from tune_jobs.point import Cell, GridPoint, OpenPoint, Recipe, TrialSpec
from tune_jobs.records.state import TrialState
from tune_jobs.records.trial import point_id_of
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import read_claim
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
        """Of one split of each dataset that is here or in the catalogue."""
        known = {name: facts.num_classes * facts.instances for name, facts in DATASETS.items()}
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
            dataset = opened[asked] if asked in opened else stir.load(asked, data_dir).summary
        except StirError as error:
            names[asked], missing[asked] = asked, error
        else:
            _refuse_namesake(datasets.get(dataset.name), dataset)
            names[asked], datasets[dataset.name] = dataset.name, dataset
    phases = tuple(_renamed(phase, names) for phase in study.phases)
    search = study.search and study.search.with_datasets(names)
    return OpenedStudy(replace(study, phases=phases, search=search), datasets, missing, names)


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


def settle(
    phase: Phase, chosen: Mapping[Cell, float]
) -> tuple[tuple[GridPoint, ...], tuple[OpenPoint, ...]]:
    """A phase's points at the rates chosen so far, and those whose cell is undecided."""
    points: dict[GridPoint, None] = {}
    held: list[OpenPoint] = []
    for point in phase.points:
        if isinstance(point, GridPoint):
            points[point] = None
        elif point.cell in chosen:
            points[point.cell.point(lr=chosen[point.cell], seed=point.seed)] = None
        else:
            held.append(point)
    return tuple(points), tuple(held)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Which points have which objects in a storage, by point_id; names only, except of claims."""

    finished: frozenset[str]
    failed: frozenset[str]
    in_flight: frozenset[str]  # claimed by somebody who is at it

    def state(self, point_id: str) -> TrialState:
        if point_id in self.finished:
            return TrialState.FINISHED
        if point_id in self.in_flight:
            return TrialState.IN_FLIGHT
        return TrialState.FAILED if point_id in self.failed else TrialState.TO_DO


def take_inventory(storage: Storage) -> Inventory:
    claimed, finished, failed = (
        frozenset(point_id_of(item.key) for item in storage.list(prefix))
        for prefix in ("claims", "records", "failures")
    )
    fresh = (claim for claim in claimed - finished if _is_fresh(claim, storage))
    return Inventory(finished, failed, frozenset(fresh))


def survey(specs: Iterable[TrialSpec], storage: Storage) -> dict[str, TrialState]:
    """The state of each point by its id."""
    inventory = take_inventory(storage)
    return {point_id: inventory.state(point_id) for point_id in (spec.point_id for spec in specs)}


def _is_fresh(point_id: str, storage: Storage) -> bool:
    claim = read_claim(storage, point_id)
    return claim is not None and claim.is_fresh


def _renamed(phase: Phase, names: Mapping[str, str]) -> Phase:
    def renamed(point: GridPoint | OpenPoint) -> GridPoint | OpenPoint:
        if isinstance(point, OpenPoint):
            return OpenPoint(replace(point.cell, dataset=names[point.cell.dataset]), point.seed)
        return replace(point, dataset=names[point.dataset])

    return replace(phase, points=tuple(map(renamed, phase.points)))
