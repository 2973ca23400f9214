"""A search in its storage: what it is, what it drew, how each of its trials ended."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.inventory import Inventory, take_inventory
from tune_jobs.plan.opened import OpenedStudy
from tune_jobs.point import TrialSpec
from tune_jobs.records.keys import (
    checkpoint_key,
    outcome_key,
    outcomes_folder,
    samples_key,
    search_key,
)
from tune_jobs.records.schema import RecordError, named
from tune_jobs.records.search import (
    Sample,
    SearchOutcome,
    SearchRecord,
    samples_to_lines,
)
from tune_jobs.records.state import SampleEnd, TrialState
from tune_jobs.records.trial import utc_now
from tune_jobs.search.samplers import Drawn, draw, require_sampler
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import release_claim_of
from tune_jobs.storage.reader import (
    last_failure,
    list_folder,
    read_outcomes,
    read_samples,
    read_search,
    stored_record,
)
from tune_jobs.trial.checkpoint import read_checkpoint

LASTING = ("fixed", "drawn", "rng", "sampler")  # what a search keeps once it has begun


class Ledger:
    """The samples of a search and how they ended, by point_id, as they are in the storage.

    Making one reads; only ``begin``, ``draw``, ``note``, ``note_all``, ``update`` and ``stop``
    write. Other drivers may run the same search: ``refresh``, ``update`` and ``has_news_of`` read
    how their trials ended.
    ``driver`` is the one whose trials ``stop`` is told of, as their claims name it.
    Raises TuneJobsError if the storage has a search of that name with another space.
    """

    def __init__(self, opened: OpenedStudy, storage: Storage, driver: str = "") -> None:
        assert opened.study.search is not None
        self._opened, self._storage, self._driver = opened, storage, driver
        self.study, self.search = opened.study.name, opened.study.search
        self._require_same()
        self._stored = self._read_samples()
        self.samples = [self._sample(one.number, one.drawn) for one in self._stored]
        self.outcomes: dict[str, SearchOutcome] = {}
        self.strays: tuple[str, ...] = ()  # in the folder of outcomes
        self.refresh()

    def begin(self) -> None:
        """Write down the search, and its samples if they can be drawn ahead."""
        require_sampler(self.search)
        self._storage.write(search_key(self.study), self._record().to_json())
        self.foresee()
        self._write(self.samples)

    def foresee(self) -> None:
        """Draw, without writing, all that do not depend on how others end."""
        if self.search.sampler == "random":
            while self.undrawn:
                self.samples.append(self._next())

    @property
    def undrawn(self) -> int:
        """How many samples are still to be drawn."""
        return self.search.trials - len(self.samples)

    @property
    def distinct(self) -> list[Sample]:
        """The first sample of each point."""
        firsts: dict[str, Sample] = {}
        for sample in self.samples:
            firsts.setdefault(sample.point_id, sample)
        return list(firsts.values())

    def draw(self) -> Sample:
        """The next sample, written down before it is returned."""
        sample = self._next()
        self._write([*self.samples, sample])
        self.samples.append(sample)
        return sample

    def spec(self, sample: Sample) -> TrialSpec:
        return self._opened.spec(sample.point, sample.recipe)

    def states(self, inventory: Inventory) -> dict[str, TrialState]:
        """How the trial of each sample stands, by point_id."""
        return {sample.point_id: self._state(sample.point_id, inventory) for sample in self.samples}

    def refresh(self) -> None:
        """Read every outcome that is not known; a failed trial may have been tried again."""
        known = {
            outcome_key(self.study, point_id)
            for point_id, outcome in self.outcomes.items()
            if outcome.status is not TrialState.FAILED
        }
        listing = list_folder(self._storage, outcomes_folder(self.study))
        self.strays = listing.strays
        self._learn(item.key for _, item in listing.objects if item.key not in known)

    def update(self) -> Inventory:
        """Take a new inventory, and learn from it and from other drivers what has ended."""
        inventory = take_inventory(self._storage)
        self.refresh()
        self.note_all(inventory)
        return inventory

    def note_all(self, inventory: Inventory) -> None:
        """Write down each end of which the storage has a record or failure and the search not."""
        for point_id in (sample.point_id for sample in self.distinct):
            known = self.outcomes.get(point_id)
            if point_id in inventory.finished:
                news = known is None or known.status is not TrialState.FINISHED
            else:
                news = known is None and point_id in inventory.failed
            if news:
                self.note(point_id)

    def has_news_of(self, point_id: str) -> bool:
        """Whether another driver has written down the end of a trial since it was last read."""
        before = self.outcomes.get(point_id)
        self._learn([outcome_key(self.study, point_id)])
        return self.outcomes.get(point_id) != before

    def note(self, point_id: str) -> SearchOutcome:
        """Write down the end of a trial that has left a record or a failure."""
        record = stored_record(self._storage, point_id)
        if record:
            status, reason = TrialState.FINISHED, ""
            epochs, test_accuracy = record.epochs, record.test_accuracy
        else:
            failure = last_failure(self._storage, point_id)
            status = TrialState.DIVERGED if failure.has_diverged else TrialState.FAILED
            epochs, reason, test_accuracy = failure.epochs, failure.error, None
        accuracies = [epoch.valid_accuracy for epoch in epochs]
        return self._write_outcome(point_id, status, reason, accuracies, test_accuracy)

    def stop(self, point_id: str, reason: str, valid_accuracies: list[float]) -> None:
        """Write down that a trial of this driver was stopped early, and remove its checkpoint.

        Its claim goes as well, unless a trial of another driver holds the point by now, which ends
        by what is written down.
        """
        self._write_outcome(point_id, TrialState.STOPPED, reason, valid_accuracies, None)
        self._storage.delete(checkpoint_key(point_id))
        release_claim_of(self._storage, point_id, self._driver)

    def accuracies_so_far(self, point_id: str) -> list[float]:
        """The validation accuracies of a trial that was cut off, as its checkpoint has them."""
        checkpoint = read_checkpoint(self._storage, point_id)
        return [epoch.valid_accuracy for epoch in checkpoint.epochs] if checkpoint else []

    def _write_outcome(
        self,
        point_id: str,
        status: SampleEnd,
        reason: str,
        valid_accuracies: list[float],
        test_accuracy: float | None,
    ) -> SearchOutcome:
        outcome = SearchOutcome(
            study=self.study,
            point_id=point_id,
            status=status,
            reason=reason,
            valid_accuracies=tuple(valid_accuracies),
            test_accuracy=test_accuracy,
            ended_at=utc_now(),
        )
        self._storage.write(outcome_key(self.study, point_id), outcome.to_json())
        self.outcomes[point_id] = outcome
        return outcome

    def _state(self, point_id: str, inventory: Inventory) -> TrialState:
        state = inventory.state(point_id)
        if state in (TrialState.FINISHED, TrialState.IN_FLIGHT):
            return state
        return self.outcomes[point_id].status if point_id in self.outcomes else state

    def _next(self) -> Sample:
        number = len(self.samples) + 1
        past = [Drawn(sample, self.outcomes.get(sample.point_id)) for sample in self.samples]
        return self._sample(number, draw(self.search, number, past))

    def _sample(self, number: int, values: dict[str, Any]) -> Sample:
        point, recipe = self.search.space.at(values)
        return Sample(
            study=self.study,
            number=number,
            point_id=self._opened.spec(point, recipe).point_id,
            drawn=values,
            point=point,
            recipe=recipe,
        )

    def _record(self) -> SearchRecord:
        search = self.search
        return SearchRecord(
            study=self.study,
            fixed=dict(search.space.fixed),
            drawn={name: kind.content for name, kind in search.space.drawn.items()},
            trials=search.trials,
            rng=search.rng,
            sampler=search.sampler,
            asha=asdict(search.asha) if search.asha else None,
            written_at=utc_now(),
        )

    def _require_same(self) -> None:
        """Refuse to mix samples of two spaces; early stopping may change, trials may be added."""
        before = read_search(self._storage, self.study)
        if before is None:
            return
        now = self._record()
        other = [name for name in LASTING if getattr(before, name) != getattr(now, name)]
        if other:
            raise TuneJobsError(
                f"A search that has begun must keep its values, distributions, rng and sampler; "
                f"{' and '.join(other)} of {self.study!r} differ from "
                f"{self._storage.uri}/{search_key(self.study)}. Give the study another name."
            )

    def _read_samples(self) -> list[Sample]:
        key = samples_key(self.study)
        samples = read_samples(self._storage, self.study) or ()
        for sample in samples:
            if sample.drawn.keys() != self.search.space.drawn.keys():
                raise RecordError(
                    f"{self._storage.uri}/{key}: A sample must have a value of each field that is "
                    f"drawn, {', '.join(self.search.space.drawn)}; sample {sample.number} has "
                    f"{', '.join(sample.drawn)}."
                )
        if len(samples) > self.search.trials:
            raise TuneJobsError(
                f"search.trials must be at least what {self.study!r} has drawn already, "
                f"{len(samples)}; got {self.search.trials}."
            )
        return list(samples)

    def _write(self, samples: list[Sample]) -> None:
        if samples != self._stored:
            self._storage.write(samples_key(self.study), samples_to_lines(samples))
            self._stored = list(samples)

    def _learn(self, keys: Iterable[str]) -> None:
        with named(f"{self._storage.uri}/", " Remove it."):
            self.outcomes |= read_outcomes(self._storage, keys)
