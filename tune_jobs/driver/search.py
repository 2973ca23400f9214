"""A search from its first draw to its last outcome."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from tune_jobs.driver.phases import Budget, require_datasets
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
    from tune_jobs.driver.runner import Run


@dataclass(slots=True)
class SearchSummary:
    """How the trials of a search stand after a run, samples with equal points once.

    ``undrawn`` samples are still to be drawn. ``broken`` are the errors of trials that could not
    even store their failure, ``strays`` files in the storage that are no objects of it.
    """

    states: Mapping[TrialState, int]
    undrawn: int
    interrupted: bool = False
    broken: list[str] = field(default_factory=list)
    strays: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        answered = all(state.is_answer for state in self.states)
        return answered and not self.undrawn and not self.broken


def run_search(
    opened: OpenedStudy,
    storage: Storage,
    *,
    stop_after_seconds: float | None = None,
    stop_after_points: int | None = None,
    retry_failed: bool = False,
    checkpoint_seconds: float = 60.0,
    max_concurrent: int | None = None,
    address: str = "local",
    price: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> SearchSummary:
    """Draw what is not drawn yet and run what has not ended, on this machine or on a cluster.

    What a search measured is kept as it goes, so that the same call goes on after any
    interruption. Ray is loaded only if there is something to run. Raises, before anything runs,
    StirError if a dataset is missing and OSError if the storage cannot be written.
    """
    require_datasets(opened, Only({}))
    storage.check_writable()
    ledger = Ledger(opened, storage)
    ledger.begin()
    inventory = take_inventory(storage)
    ledger.note_all(inventory)
    budget = Budget(seconds=stop_after_seconds, points=stop_after_points)
    todo = sum(_is_open(sample, ledger, retry_failed) for sample in ledger.distinct)
    summary = SearchSummary(
        Counter(ledger.states(inventory).values()),
        ledger.undrawn,
        strays=(*inventory.strays, *ledger.strays),
    )
    if not todo + ledger.undrawn:
        say(f"search {ledger.study}: nothing is left to do")
        return summary
    from tune_jobs.driver.runner import driving

    say(f"search {ledger.study}: {words(summary.states, summary.undrawn)}; storage {storage.uri}")
    with driving(
        opened.study,
        opened.datasets,
        storage,
        total=todo + ledger.undrawn,
        address=address,
        checkpoint_seconds=checkpoint_seconds,
        max_concurrent=max_concurrent,
        stop_after_seconds=budget.seconds_left,
        price=price,
    ) as run:
        _until_done(run, ledger, shape(opened), retry_failed, stop_after_points)
    inventory = ledger.update()
    states = ledger.states(inventory)
    return SearchSummary(
        Counter(states.values()),
        ledger.undrawn,
        interrupted=run.stop.asked and budget.seconds_left != 0,
        broken=run.broken,
        strays=(*inventory.strays, *ledger.strays),
    )


def words(states: Mapping[TrialState, int], undrawn: int) -> str:
    """How many trials are in which state, and how many are not drawn yet."""
    counts = [f"{states[state]:,} {state}" for state in SAMPLE_STATES if states.get(state)]
    return ", ".join(counts + [f"{undrawn:,} to be drawn"] * bool(undrawn))


def shape(opened: OpenedStudy) -> Resources:
    """What each trial of a search takes: all take what the hungriest that can be drawn does."""
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


def _until_done(
    run: "Run", ledger: Ledger, resources: Resources, retry_failed: bool, limit: int | None
) -> None:
    """Run every trial that has not ended once, and wait for those of other drivers."""
    from tune_jobs.driver.course import Course

    tried: set[str] = set()
    while not run.stop.asked and (limit is None or len(tried) < limit):
        inventory = ledger.update()
        waiting = [
            sample
            for sample in ledger.distinct
            if _is_open(sample, ledger, retry_failed) and sample.point_id not in tried
        ]
        todo = [sample for sample in waiting if sample.point_id not in inventory.in_flight]
        course = Course(ledger, todo, None if limit is None else limit - len(tried))
        if course.has_next:
            ended = run.follow(course, resources=resources)
            crowded = [s for s in ledger.distinct if s.point_id in ended.crowded]
            if crowded and not run.stop.asked:
                run.follow(Course(ledger, crowded, len(crowded)), resources=resources, alone=True)
            tried |= course.handed_out - ended.elsewhere
        elif waiting:
            run.wait_for_others()
        else:
            break


def _is_open(sample: Sample, ledger: Ledger, retry_failed: bool) -> bool:
    outcome = ledger.outcomes.get(sample.point_id)
    return outcome is None or (retry_failed and outcome.status is TrialState.FAILED)
