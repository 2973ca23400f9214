"""A search from its first draw to its last outcome."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from tune_jobs.driver.budget import Budget
from tune_jobs.driver.options import DRIVER_BYTES, RunOptions
from tune_jobs.driver.phases import require_datasets
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import OpenedStudy
from tune_jobs.plan.resources import resources_of
from tune_jobs.records.search import Sample
from tune_jobs.records.state import SAMPLE_STATES, TrialState
from tune_jobs.search.ledger import Ledger
from tune_jobs.storage import Storage
from tune_jobs.study.study import Resources
from tune_jobs.study.subset import Only

if TYPE_CHECKING:
    from tune_jobs.driver.runner import Batch, Supply


@dataclass(slots=True)
class SearchSummary:
    """How the trials of a search stand after a run, samples with equal points once.

    ``undrawn`` samples are still to be drawn. ``spent`` is what the search has cost when that has
    reached its budget, and so ended it. ``broken`` are the errors of trials that could not even
    store their failure, ``strays`` files in the storage that are no objects of it.
    """

    states: Mapping[TrialState, int]
    undrawn: int
    interrupted: bool = False
    spent: float | None = None
    broken: list[str] = field(default_factory=list)
    strays: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        answered = all(state.is_answer for state in self.states)
        return answered and not self.undrawn and not self.broken


def run_search(
    opened: OpenedStudy,
    storage: Storage,
    options: RunOptions | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
    **more: Any,
) -> SearchSummary:
    """Draw what is not drawn yet and run what has not ended, on this machine or on a cluster.

    Fields of RunOptions may be given by themselves, such as ``max_concurrent=2``. What a search
    measured is kept as it goes, so that the same call goes on after any interruption. Ray is
    loaded only if there is something to run. Raises, before anything runs, StirError if a dataset
    is missing and OSError if the storage cannot be written.
    """
    options = replace(options or RunOptions(), **more)
    require_datasets(opened, Only({}))
    storage.check_writable()
    driver = secrets.token_hex(DRIVER_BYTES)
    ledger = Ledger(opened, storage, driver)
    ledger.begin()
    inventory = take_inventory(storage)
    ledger.note_all(inventory)
    budget = Budget(seconds=options.stop_after_seconds)
    todo = sum(_is_open(sample, ledger, options.retry_failed) for sample in ledger.distinct)
    summary = SearchSummary(
        Counter(ledger.states(inventory).values()),
        ledger.undrawn,
        strays=(*inventory.strays, *ledger.strays),
    )
    if not todo + ledger.undrawn:
        say(f"search {ledger.study}: nothing is left to do")
        return summary
    from tune_jobs.driver.runner import driving

    counted = describe_counts(summary.states, summary.undrawn)
    say(f"search {ledger.study}: {counted}; storage {storage.uri}")
    total = todo + ledger.undrawn
    options = replace(options, stop_after_seconds=budget.seconds_left)
    with driving(
        opened.study,
        opened.datasets,
        storage,
        options,
        total=total,
        name=ledger.search.space.short_name,
        driver=driver,
    ) as run:
        run.until_done(SearchSource(ledger, shape(opened), options))
    inventory = ledger.update()
    states = ledger.states(inventory)
    return SearchSummary(
        Counter(states.values()),
        ledger.undrawn,
        interrupted=run.stop.asked and budget.seconds_left != 0,
        spent=run.spent,
        broken=run.broken,
        strays=(*inventory.strays, *ledger.strays),
    )


def describe_counts(states: Mapping[TrialState, int], undrawn: int) -> str:
    """How many trials are in which state, and how many are not drawn yet, as a phrase."""
    counts = [f"{states[state]:,} {state}" for state in SAMPLE_STATES if states.get(state)]
    return ", ".join(counts + [f"{undrawn:,} to be drawn"] * bool(undrawn))


def shape(opened: OpenedStudy) -> Resources:
    """What each trial of a search takes: as much as the most demanding that can be drawn."""
    assert opened.study.search is not None
    space = opened.study.search.space
    some = {name: kind.probes[0] for name, kind in space.drawn.items()}
    some["batch_size"] = max(space.probes("batch_size"))
    axes = ("model", "dataset", "scenario")
    shapes = []
    for values in product(*map(space.probes, axes)):
        spec = opened.spec(*space.at(some | dict(zip(axes, values, strict=True))))
        shapes.append(resources_of(spec, opened.study.resources, opened.datasets))
    return max(shapes, key=lambda resources: resources.gpus)


class SearchSource:
    """The trials of a search, at most ``stop_after_points`` of them."""

    def __init__(self, ledger: Ledger, resources: Resources, options: RunOptions) -> None:
        self._ledger, self._resources, self._options = ledger, resources, options

    def has_more(self, tried: Set[str]) -> bool:
        return True  # what ends may let more be drawn

    def supply(self, tried: Set[str]) -> "Supply":
        """Samples that are to be run, then those that are still to be drawn."""
        from tune_jobs.driver.course import Course
        from tune_jobs.driver.runner import Batch, Supply

        ledger, limit = self._ledger, self._options.stop_after_points
        left = None if limit is None else limit - len(tried)
        if left is not None and left <= 0:
            return Supply((), awaited=False)
        inventory = ledger.update()
        waiting = [
            sample
            for sample in ledger.distinct
            if _is_open(sample, ledger, self._options.retry_failed) and sample.point_id not in tried
        ]
        todo = [sample for sample in waiting if sample.point_id not in inventory.in_flight]
        course = Course(ledger, todo, left)
        if course.has_next:
            return Supply((Batch(self._resources, course),), awaited=False)
        return Supply((), awaited=bool(waiting))

    def alone(self, point_ids: Set[str]) -> "Sequence[Batch]":
        """Some of its trials, each with a GPU of its own."""
        from tune_jobs.driver.course import Course
        from tune_jobs.driver.runner import Batch

        samples = [sample for sample in self._ledger.distinct if sample.point_id in point_ids]
        if not samples:
            return ()
        course = Course(self._ledger, samples, len(samples))
        return (Batch(replace(self._resources, gpus=1.0), course),)


def _is_open(sample: Sample, ledger: Ledger, retry_failed: bool) -> bool:
    outcome = ledger.outcomes.get(sample.point_id)
    return outcome is None or (retry_failed and outcome.status is TrialState.FAILED)
