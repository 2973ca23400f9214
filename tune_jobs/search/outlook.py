"""What a search has left to do: its trials counted and timed; starts nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tune_jobs.plan.cost import Here, Source, expect, measure
from tune_jobs.plan.inventory import Inventory
from tune_jobs.plan.opened import OpenedStudy
from tune_jobs.point import GridPoint, Recipe, cell_of
from tune_jobs.records.state import TrialState
from tune_jobs.search.ledger import Ledger
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import read_records

SAMPLE = 20  # records read to learn how long trials take
DRAWS = 64  # made up to see what those that are not drawn yet may cost


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutlook:
    """Trials of a search by state, samples with equal points once, and the time they may take.

    ``trial_seconds_left`` is as if none were stopped early; None where nothing is known of a model.
    ``longest_seconds_left`` is that of the longest trial, ``sources`` are what times are from.
    """

    states: Mapping[TrialState, int]
    undrawn: int
    trial_seconds_left: float | None
    longest_seconds_left: float
    sources: frozenset[Source]
    strays: tuple[str, ...]


def search_outlook(
    opened: OpenedStudy,
    storage: Storage,
    inventory: Inventory,
    here: Here | None = None,
) -> SearchOutlook:
    """Count and time what a search has left to do; every dataset of it must be here.

    ``here`` is the machine that the trials will run on; None: any that has left records.
    """
    ledger = Ledger(opened, storage)
    ledger.foresee()
    states = ledger.states(inventory)
    finished = [point_id for point_id, state in states.items() if state == TrialState.FINISHED]
    sizes = opened.images_per_scale
    records = read_records(storage, finished[:SAMPLE]).values()
    measured = measure(records, sizes, here)

    sources: set[Source] = set()

    def seconds(point: GridPoint, recipe: Recipe) -> float | None:
        trial = expect(cell_of(point), recipe, sizes[point.dataset], measured)
        if trial is None:
            return None
        sources.add(trial.source)
        return trial.seconds

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
        strays=ledger.strays,
        trial_seconds_left=sum(known) if len(known) == len(costs) else None,
        longest_seconds_left=max(known, default=0.0),
        sources=frozenset(sources),
    )
