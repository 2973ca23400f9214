"""Searches without running them: one ahead of its run, and all that a storage holds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tune_jobs.plan.choices import read_records
from tune_jobs.plan.cost import expect, measure
from tune_jobs.plan.plan import Inventory, OpenedStudy, take_inventory
from tune_jobs.point import GridPoint, Recipe, cell_of
from tune_jobs.records.search import (
    Sample,
    SearchOutcome,
    SearchRecord,
    outcomes_folder,
    samples_from_lines,
    samples_key,
)
from tune_jobs.records.state import TrialState
from tune_jobs.records.trial import RecordError
from tune_jobs.search.ledger import Ledger, read_outcomes
from tune_jobs.storage import Storage

SAMPLE = 20  # records read to learn how long trials take
DRAWS = 64  # made up to see what those that are not drawn yet may cost


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutlook:
    """Trials of a search by state, samples with equal points once, and the time they may take.

    ``trial_seconds_left`` is as if none were stopped early; None where nothing is known of a model.
    """

    states: Mapping[TrialState, int]
    undrawn: int
    trial_seconds_left: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchStatus:
    """A search as its storage has it. ``best`` is the sample with the best validation accuracy."""

    search: SearchRecord
    drawn: int
    states: Mapping[TrialState, int]
    best: tuple[Sample, SearchOutcome] | None


def look_at_search(opened: OpenedStudy, storage: Storage) -> SearchOutlook:
    """Count and time what a search has left to do; every dataset of it must be here."""
    ledger = Ledger(opened, storage)
    ledger.foresee()
    inventory = take_inventory(storage)
    states = ledger.states(inventory)
    finished = [point_id for point_id, state in states.items() if state == TrialState.FINISHED]
    sizes = opened.images_per_scale
    measured = measure(read_records(finished[:SAMPLE], storage).values(), sizes)

    def seconds(point: GridPoint, recipe: Recipe) -> float | None:
        trial = expect(cell_of(point), recipe, sizes[point.dataset], measured)
        return trial.seconds if trial else None

    waiting = {
        sample.point_id: seconds(sample.point, sample.recipe)
        for sample in ledger.samples
        if states[sample.point_id] in (TrialState.TO_DO, TrialState.IN_FLIGHT)
    }
    costs = [*waiting.values()]
    if ledger.undrawn:
        draws = map(np.random.default_rng, range(DRAWS))
        guesses = [seconds(*ledger.search.space.at(ledger.search.space.draw(rng))) for rng in draws]
        known = [guess for guess in guesses if guess is not None]
        mean = fmean(known) if len(known) == DRAWS else None
        costs += [mean] * ledger.undrawn
    known = [cost for cost in costs if cost is not None]
    return SearchOutlook(
        states=Counter(states.values()),
        undrawn=ledger.undrawn,
        trial_seconds_left=sum(known) if len(known) == len(costs) else None,
    )


def searches_in(
    storage: Storage, inventory: Inventory, damaged: list[str]
) -> tuple[SearchStatus, ...]:
    """Every search of a storage; what cannot be read is named in ``damaged``."""
    keys = [item.key for item in storage.list("searches")]
    found = []
    for key in keys:
        if key.endswith("/search.json"):
            try:
                search = SearchRecord.from_json(storage.read(key))
                found.append(_status(search, keys, storage, inventory))
            except RecordError as error:
                damaged.append(f"{key}: {error}")
    return tuple(found)


def _status(
    search: SearchRecord, keys: list[str], storage: Storage, inventory: Inventory
) -> SearchStatus:
    samples_at, folder = samples_key(search.study), outcomes_folder(search.study)
    samples = samples_from_lines(storage.read(samples_at)) if samples_at in keys else ()
    outcomes = read_outcomes((key for key in keys if key.startswith(f"{folder}/")), storage)
    measured = [
        (sample, outcomes[sample.point_id])
        for sample in samples
        if sample.point_id in outcomes and outcomes[sample.point_id].valid_accuracies
    ]
    states: dict[str, TrialState] = {}
    for sample in samples:
        outcome = outcomes.get(sample.point_id)
        state = inventory.state(sample.point_id)
        states[sample.point_id] = outcome.status if outcome else state
    return SearchStatus(
        search=search,
        drawn=len(samples),
        states=Counter(states.values()),
        best=max(measured, key=lambda pair: pair[1].best_valid_accuracy or 0.0, default=None),
    )
