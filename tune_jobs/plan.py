"""What a study still has to do, from the objects that exist and nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import stir
from siconvnet import MODELS
from stir import STIRDataset
from tune_jobs.claim import read_claim
from tune_jobs.grid import TrialSpec
from tune_jobs.record import point_id_of
from tune_jobs.storage import Storage
from tune_jobs.study import Study


class State(StrEnum):
    """Where a point stands: it has a record, a failure and no record, a fresh claim, or nothing."""

    FINISHED = "finished"
    FAILED = "failed"
    IN_FLIGHT = "in flight"
    TO_DO = "to do"


@dataclass(frozen=True, slots=True)
class Plan:
    """A study's trials in the order they will run, and the datasets they use, by point.dataset."""

    study: Study
    specs: tuple[TrialSpec, ...]
    datasets: Mapping[str, STIRDataset]


def make_plan(study: Study, data_dir: str | Path | None) -> Plan:
    """Open the study's datasets and give every point its id.

    A dataset given by path goes by the name in its metadata from here on. Raises StirError for a
    dataset that is not there or damaged.
    """
    asked = dict.fromkeys(point.dataset for point in study.points)
    opened = {name: stir.load(name, data_dir) for name in asked}
    specs = tuple(
        TrialSpec(
            point=replace(point, dataset=opened[point.dataset].name),
            recipe=study.recipe,
            model_version=MODELS[point.model].version,
            dataset_fingerprint=opened[point.dataset].fingerprint,
        )
        for point in study.points
    )
    return Plan(study, specs, {dataset.name: dataset for dataset in opened.values()})


def survey(specs: Iterable[TrialSpec], storage: Storage) -> dict[str, State]:
    """The state of each point by its id; reads no more than names, and the claims there are."""
    finished, failed, claimed = (
        {point_id_of(item.key) for item in storage.list(prefix)}
        for prefix in ("records", "failures", "claims")
    )

    def state(point_id: str) -> State:
        if point_id in finished:
            return State.FINISHED
        if point_id in claimed and (claim := read_claim(storage, point_id)) and claim.is_fresh:
            return State.IN_FLIGHT
        return State.FAILED if point_id in failed else State.TO_DO

    return {spec.point_id: state(spec.point_id) for spec in specs}
