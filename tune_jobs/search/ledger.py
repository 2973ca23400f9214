"""A search in its storage: what it is, what it drew, how each of its trials ended."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.choices import DIVERGED, last_failure
from tune_jobs.plan.plan import Inventory, OpenedStudy, take_inventory
from tune_jobs.point import TrialSpec
from tune_jobs.records.search import (
    Sample,
    SearchOutcome,
    SearchRecord,
    outcome_key,
    outcomes_folder,
    samples_from_lines,
    samples_key,
    samples_to_lines,
    search_key,
)
from tune_jobs.records.state import SampleEnd, TrialState
from tune_jobs.records.trial import RecordError, TrialRecord, record_key, utc_now
from tune_jobs.search.samplers import Drawn, draw, require_sampler
from tune_jobs.storage import READERS, Storage
from tune_jobs.storage.claim import claim_key
from tune_jobs.trial.checkpoint import checkpoint_key, read_checkpoint

LASTING = ("fixed", "drawn", "rng", "sampler")  # what a search keeps once it has begun


class Ledger:
    """The samples of a search and how they ended, by point_id, as they are in the storage.

    Making one reads; only ``begin``, ``draw``, ``settle`` and ``stop`` write. Other drivers may
    run the same search: ``settle_all`` and ``hears_of`` learn how their trials ended. Raises
    TuneJobsError if the storage has a search of that name with another space.
    """

    def __init__(self, opened: OpenedStudy, storage: Storage) -> None:
        assert opened.study.search is not None
        self._opened, self._storage = opened, storage
        self.study, self.search = opened.study.name, opened.study.search
        self._require_same()
        self._stored = self._read_samples()
        self.samples = [self._sample(one.number, one.drawn) for one in self._stored]
        self.outcomes: dict[str, SearchOutcome] = {}
        self._hear()

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

    def settle_all(self) -> Inventory:
        """Learn every end that other drivers have written down, and write down those that the
        storage knows of and the search does not; returns what there is."""
        inventory = take_inventory(self._storage)
        self._hear()
        for point_id in (sample.point_id for sample in self.distinct):
            known = self.outcomes.get(point_id)
            if point_id in inventory.finished:
                news = known is None or known.status is not TrialState.FINISHED
            else:
                news = known is None and point_id in inventory.failed
            if news:
                self.settle(point_id)
        return inventory

    def hears_of(self, point_id: str) -> bool:
        """Whether another driver has written down the end of a trial since we looked."""
        before = self.outcomes.get(point_id)
        self._learn([outcome_key(self.study, point_id)])
        return self.outcomes.get(point_id) != before

    def settle(self, point_id: str) -> SearchOutcome:
        """Write down the end of a trial that has left a record or a failure."""
        try:
            record = TrialRecord.from_json(self._storage.read(record_key(point_id)))
        except FileNotFoundError:
            failure = last_failure(point_id, self._storage)
            diverged = failure.error.startswith(DIVERGED)
            status = TrialState.DIVERGED if diverged else TrialState.FAILED
            epochs, reason, test_accuracy = failure.epochs, failure.error, None
        except RecordError as error:
            raise RecordError(f"{record_key(point_id)}: {error}") from None
        else:
            status, reason = TrialState.FINISHED, ""
            epochs, test_accuracy = record.epochs, record.test_accuracy
        accuracies = [epoch.valid_accuracy for epoch in epochs]
        return self._note(point_id, status, reason, accuracies, test_accuracy)

    def stop(self, point_id: str, reason: str, valid_accuracies: list[float]) -> None:
        """Write down that a trial was stopped early; then nothing else of it is kept."""
        self._note(point_id, TrialState.STOPPED, reason, valid_accuracies, None)
        self._storage.delete(checkpoint_key(point_id))
        self._storage.delete(claim_key(point_id))

    def accuracies_so_far(self, point_id: str) -> list[float]:
        """The validation accuracies of a trial that was cut off, as its checkpoint has them."""
        checkpoint = read_checkpoint(self._storage, point_id)
        return [epoch.valid_accuracy for epoch in checkpoint.epochs] if checkpoint else []

    def _note(
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
            drawn={name: kind.words for name, kind in search.space.drawn.items()},
            trials=search.trials,
            rng=search.rng,
            sampler=search.sampler,
            asha=asdict(search.asha) if search.asha else None,
            written_at=utc_now(),
        )

    def _require_same(self) -> None:
        """Refuse to mix samples of two spaces; early stopping may change, trials may be added."""
        key = search_key(self.study)
        try:
            before = SearchRecord.from_json(self._storage.read(key))
        except FileNotFoundError:
            return
        except RecordError as error:
            raise RecordError(f"{self._storage.uri}/{key}: {error}") from None
        now = self._record()
        other = [name for name in LASTING if getattr(before, name) != getattr(now, name)]
        if other:
            raise TuneJobsError(
                f"A search that has begun must keep its values, distributions, rng and sampler; "
                f"{' and '.join(other)} of {self.study!r} differ from {self._storage.uri}/{key}. "
                "Give the study another name."
            )

    def _read_samples(self) -> list[Sample]:
        key = samples_key(self.study)
        try:
            samples = samples_from_lines(self._storage.read(key))
        except FileNotFoundError:
            return []
        except RecordError as error:
            raise RecordError(f"{self._storage.uri}/{key}: {error}") from None
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

    def _hear(self) -> None:
        """Read the outcomes that are not known; a failed trial may have been tried again."""
        known = {
            outcome_key(self.study, point_id)
            for point_id, outcome in self.outcomes.items()
            if outcome.status is not TrialState.FAILED
        }
        listed = (item.key for item in self._storage.list(outcomes_folder(self.study)))
        self._learn(key for key in listed if key not in known)

    def _learn(self, keys: Iterable[str]) -> None:
        try:
            self.outcomes |= read_outcomes(keys, self._storage)
        except RecordError as error:
            raise RecordError(f"{self._storage.uri}/{error} Remove it.") from None


def read_outcomes(keys: Iterable[str], storage: Storage) -> dict[str, SearchOutcome]:
    """Some outcomes by point_id, those that are there; RecordError names one that is damaged."""
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda key: _read_outcome(key, storage), keys)
        return {outcome.point_id: outcome for outcome in found if outcome}


def _read_outcome(key: str, storage: Storage) -> SearchOutcome | None:
    try:
        return SearchOutcome.from_json(storage.read(key))
    except FileNotFoundError:  # removed since it was listed
        return None
    except RecordError as error:
        raise RecordError(f"{key}: {error}") from None
