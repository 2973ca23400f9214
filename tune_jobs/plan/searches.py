"""The state of the searches in a storage, from the storage alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tune_jobs.plan.inventory import Inventory
from tune_jobs.records.keys import Kind, outcome_key, samples_key, search_key
from tune_jobs.records.search import Sample, SearchOutcome, SearchRecord
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import (
    Listing,
    parse_samples,
    parse_search,
    read_each,
    read_outcomes,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchStatus:
    """A search as its storage has it; ``ranked`` are samples with an accuracy, the best first.

    That is the best in validation; of equal ones the first drawn.
    """

    search: SearchRecord
    drawn: int
    states: Mapping[TrialState, int]
    ranked: tuple[tuple[Sample, SearchOutcome], ...]

    @property
    def best(self) -> tuple[Sample, SearchOutcome] | None:
        return self.ranked[0] if self.ranked else None


def searches_in(
    storage: Storage, listing: Listing, inventory: Inventory, damaged: list[str]
) -> tuple[SearchStatus, ...]:
    """Every search in a listing of ``searches``; what cannot be read is named in ``damaged``."""
    studies = [key.study for key, _ in listing.objects if key.kind is Kind.SEARCH and key.study]
    keys = {item.key for _, item in listing.objects}
    searches = dict(read_each(storage, map(search_key, studies), parse_search, damaged))
    of_samples = [key for study in studies if (key := samples_key(study)) in keys]
    samples = dict(read_each(storage, of_samples, parse_samples, damaged))
    found = []
    for study in studies:
        search, drawn = searches.get(search_key(study)), samples.get(samples_key(study), ())
        if search and (drawn or samples_key(study) not in keys):
            wanted = {outcome_key(study, sample.point_id) for sample in drawn}
            outcomes = read_outcomes(storage, sorted(wanted & keys), damaged)
            found.append(_status(search, drawn, outcomes, inventory))
    return tuple(found)


def _status(
    search: SearchRecord,
    samples: Sequence[Sample],
    outcomes: Mapping[str, SearchOutcome],
    inventory: Inventory,
) -> SearchStatus:
    states: dict[str, TrialState] = {}
    for sample in samples:
        outcome = outcomes.get(sample.point_id)
        states[sample.point_id] = outcome.status if outcome else inventory.state(sample.point_id)
    measured = [
        (sample, outcomes[sample.point_id])
        for sample in samples
        if sample.point_id in outcomes and outcomes[sample.point_id].valid_accuracies
    ]
    return SearchStatus(
        search=search,
        drawn=len(samples),
        states=Counter(states.values()),
        ranked=tuple(sorted(measured, key=lambda pair: -(pair[1].best_valid_accuracy or 0.0))),
    )
