import json
from collections.abc import Callable
from dataclasses import replace
from threading import Barrier

import pytest

from lab.records import put_failure, put_record
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import OpenedStudy
from tune_jobs.records.keys import outcome_key, record_key, samples_key, search_key
from tune_jobs.records.schema import RecordError
from tune_jobs.records.search import samples_from_lines
from tune_jobs.records.state import TrialState
from tune_jobs.search.ledger import Ledger
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import new_claim, read_claim, write_claim
from tune_jobs.storage.reader import read_outcomes
from tune_jobs.study.distributions import Choice, Uniform

Opened = Callable[..., OpenedStudy]


@pytest.fixture
def ledger(opened: Opened, storage: Storage) -> Ledger:
    ledger = Ledger(opened(), storage, "ours")
    ledger.begin()
    return ledger


def with_drawn(opened: OpenedStudy, **drawn) -> OpenedStudy:
    """The same search, but for what some fields are drawn from."""
    search = opened.study.search
    assert search is not None
    space = replace(search.space, drawn={**search.space.drawn, **drawn})
    return replace(opened, study=replace(opened.study, search=replace(search, space=space)))


def test_looking_at_a_search_writes_nothing(opened: Opened, storage: Storage):
    ledger = Ledger(opened(), storage)
    ledger.foresee()
    assert len(ledger.samples) == 6
    assert list(storage.list("searches")) == []


def test_all_random_samples_are_written_before_anything_runs(ledger: Ledger, storage: Storage):
    samples = samples_from_lines(storage.read(samples_key("wide")))
    assert [sample.number for sample in samples] == [1, 2, 3, 4, 5, 6]
    assert list(samples) == ledger.samples
    assert {sample.point.dataset for sample in samples} == {"bars"}  # not the path
    assert {ledger.spec(one).point_id for one in samples} == {one.point_id for one in samples}
    assert json.loads(storage.read(search_key("wide")))["fixed"]["dataset"] == "bars"


def test_beginning_again_draws_nothing_twice_and_growing_only_the_rest(
    ledger: Ledger, opened: Opened, storage: Storage
):
    again = Ledger(opened(), storage)
    again.begin()
    assert again.samples == ledger.samples
    grown = Ledger(opened(trials=9), storage)
    grown.begin()
    assert grown.samples[:6] == ledger.samples
    assert len(samples_from_lines(storage.read(samples_key("wide")))) == 9


def test_another_rng_draws_other_samples(opened: Opened, storage: Storage, tmp_path):
    other = Ledger(opened(rng=2), Storage(tmp_path / "other"))
    here = Ledger(opened(), storage)
    other.foresee()
    here.foresee()
    assert [one.drawn for one in other.samples] != [one.drawn for one in here.samples]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda opened: with_drawn(opened(), lr=Choice((3e-3, 1e-6))), "drawn of 'wide' differ"),
        (lambda opened: opened(rng=2), "rng of 'wide' differ"),
        (lambda opened: opened(sampler="optuna"), "sampler of 'wide' differ"),
    ],
)
def test_a_search_that_has_begun_keeps_its_space(
    ledger: Ledger, opened: Opened, storage: Storage, change, words: str
):
    with pytest.raises(TuneJobsError, match=f"{words}.* Give the study another name"):
        Ledger(change(opened), storage)


def test_early_stopping_may_change_and_trials_may_not_become_fewer(
    ledger: Ledger, opened: Opened, storage: Storage
):
    Ledger(opened(asha={"grace_epochs": 3}), storage).begin()
    with pytest.raises(TuneJobsError, match="at least what 'wide' has drawn already, 6; got 4"):
        Ledger(opened(trials=4), storage)


def test_a_record_that_a_grid_has_left_ends_its_sample(ledger: Ledger, storage: Storage):
    put_record(storage, ledger.spec(ledger.samples[2]), valid_accuracy=0.75, epochs=3)
    inventory = ledger.update()
    outcome = ledger.outcomes[ledger.samples[2].point_id]
    assert (outcome.status, outcome.valid_accuracies) == ("finished", (0.75, 0.75, 0.75))
    assert outcome.test_accuracy == 0.5
    states = list(ledger.states(inventory).values())
    assert states == [
        TrialState.TO_DO,
        TrialState.TO_DO,
        TrialState.FINISHED,
        *[TrialState.TO_DO] * 3,
    ]


def test_a_loss_that_diverged_is_an_answer_and_another_failure_is_none(
    ledger: Ledger, storage: Storage
):
    diverged, failed = ledger.samples[:2]
    put_failure(storage, ledger.spec(diverged), "DivergedError: A loss must be finite")
    put_failure(storage, ledger.spec(failed), "MemoryError: no more")
    ledger.update()
    assert ledger.outcomes[diverged.point_id].status == "diverged"
    assert ledger.outcomes[failed.point_id].status == "failed"
    assert ledger.outcomes[failed.point_id].reason == "MemoryError: no more"


def test_a_stopped_trial_keeps_what_it_measured_and_nothing_else(ledger: Ledger, storage: Storage):
    point_id = ledger.samples[0].point_id
    write_claim(storage, point_id, new_claim("ours", (2, 0), None))
    storage.write(f"checkpoints/{point_id}.pt", b"{}")
    ledger.stop(point_id, "asha: others were better after epoch 2", [0.25, 0.5])
    assert not storage.exists(f"claims/{point_id}.json")
    assert not storage.exists(f"checkpoints/{point_id}.pt")
    assert not storage.exists(record_key(point_id))
    read = json.loads(storage.read(outcome_key("wide", point_id)))
    assert (read["status"], read["valid_accuracies"]) == ("stopped", [0.25, 0.5])


def test_the_claim_of_another_driver_s_trial_stays_when_ours_is_stopped(
    ledger: Ledger, storage: Storage
):
    point_id = ledger.samples[0].point_id
    theirs = write_claim(storage, point_id, new_claim("theirs", (2, 0), None))
    ledger.stop(point_id, "asha: others were better after epoch 2", [0.25, 0.5])
    assert read_claim(storage, point_id) == theirs


def test_a_later_driver_knows_how_trials_ended(ledger: Ledger, opened: Opened, storage: Storage):
    stopped, finished = ledger.samples[:2]
    ledger.stop(stopped.point_id, "asha", [0.25])
    put_record(storage, ledger.spec(finished), valid_accuracy=1.0)
    again = Ledger(opened(), storage)
    again.update()
    assert {id: outcome.status for id, outcome in again.outcomes.items()} == {
        stopped.point_id: "stopped",
        finished.point_id: "finished",
    }


def test_a_driver_learns_how_trials_of_another_end_while_it_runs(
    ledger: Ledger, opened: Opened, storage: Storage
):
    other = Ledger(opened(), storage)
    stopped, retried = ledger.samples[:2]
    put_failure(storage, ledger.spec(retried), "MemoryError: no more")
    ledger.update()
    other.stop(stopped.point_id, "asha", [0.25])
    other.stop(retried.point_id, "asha", [0.5])
    ledger.update()
    assert ledger.outcomes == other.outcomes


def test_outcomes_are_read_side_by_side(ledger: Ledger, storage: Storage):
    for sample in ledger.samples[:2]:
        ledger.stop(sample.point_id, "asha", [0.25])
    both = Barrier(2, timeout=60)  # breaks unless two wait at once

    class Slow(Storage):
        def read(self, key: str) -> bytes:
            both.wait()
            return super().read(key)

    keys = [outcome_key("wide", sample.point_id) for sample in ledger.samples[:2]]
    assert read_outcomes(Slow(storage.uri), keys) == ledger.outcomes


def test_a_point_that_a_grid_finished_is_no_longer_stopped(ledger: Ledger, storage: Storage):
    sample = ledger.samples[0]
    ledger.stop(sample.point_id, "asha", [0.25])
    put_record(storage, ledger.spec(sample), valid_accuracy=1.0)
    ledger.update()
    assert ledger.outcomes[sample.point_id].status == "finished"


def test_samples_of_a_dataset_that_changed_are_to_be_run_again(
    ledger: Ledger, opened: Opened, storage: Storage
):
    ledger.stop(ledger.samples[0].point_id, "asha", [0.25])
    changed = opened()
    summary = replace(changed.datasets["bars"], fingerprint="f" * 64)
    later = Ledger(replace(changed, datasets={"bars": summary}), storage)
    later.begin()
    assert [one.drawn for one in later.samples] == [one.drawn for one in ledger.samples]
    assert later.samples[0].point_id != ledger.samples[0].point_id
    assert set(later.states(take_inventory(storage)).values()) == {TrialState.TO_DO}


def test_optuna_s_samples_are_written_one_by_one(opened: Opened, storage: Storage):
    ledger = Ledger(opened(sampler="optuna"), storage)
    ledger.begin()
    assert (ledger.samples, ledger.undrawn) == ([], 6)
    first, second = ledger.draw(), ledger.draw()
    assert samples_from_lines(storage.read(samples_key("wide"))) == (first, second)
    again = Ledger(opened(sampler="optuna"), storage)
    assert (again.samples, again.undrawn) == ([first, second], 4)


def test_samples_with_equal_points_are_one_trial(opened: Opened, storage: Storage):
    small = with_drawn(opened(trials=20), seed=Choice((1,)), lr=Choice((0.1, 0.2)))
    ledger = Ledger(small, storage)
    ledger.begin()
    assert len(ledger.samples) == 20
    assert ledger.distinct[0].number == 1
    assert len(ledger.distinct) == len(ledger.states(take_inventory(storage))) == 2


@pytest.mark.parametrize("key", ["samples.jsonl", "search.json", "outcomes/0123456789ab.json"])
def test_a_damaged_object_is_named(ledger: Ledger, opened: Opened, storage: Storage, key: str):
    storage.write(f"searches/wide/{key}", b'{"schema"')
    with pytest.raises(RecordError, match=f"searches/wide/{key}: A record must be JSON"):
        Ledger(opened(), storage)


def test_samples_without_a_drawn_field_are_refused(
    ledger: Ledger, opened: Opened, storage: Storage
):
    lines = storage.read(samples_key("wide")).replace(b'"drawn": {"lr"', b'"drawn": {"rate"')
    storage.write(samples_key("wide"), lines)
    with pytest.raises(
        RecordError, match="must have a value of each field that is drawn, lr, seed"
    ):
        Ledger(opened(), storage)


def test_a_uniform_rate_is_drawn_as_the_study_says(opened: Opened, storage: Storage):
    ledger = Ledger(with_drawn(opened(), lr=Uniform(0.1, 0.2)), storage)
    ledger.foresee()
    assert all(0.1 <= one.point.lr <= 0.2 for one in ledger.samples)
