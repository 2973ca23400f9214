"""What Tune hears from a search; Tune itself is played by the tests."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher

from lab.records import put_failure, put_record
from tune_jobs.driver.course import Course, Halving
from tune_jobs.errors import StorageError
from tune_jobs.plan.opened import OpenedStudy
from tune_jobs.records.search import Sample
from tune_jobs.search.ledger import Ledger
from tune_jobs.storage import Storage
from tune_jobs.study.distributions import Choice
from tune_jobs.study.search import Asha

Opened = Callable[..., OpenedStudy]
ASHA = Asha(grace_epochs=1, reduction_factor=2)  # looks at epochs 1, 2 and 4 of 6


@pytest.fixture
def ledger(opened: Opened, storage: Storage) -> Ledger:
    ledger = Ledger(opened(), storage)
    ledger.begin()
    return ledger


def trial(ledger: Ledger, sample: Sample, trial_id: str = "") -> Any:
    config = {"spec": asdict(ledger.spec(sample))}
    return SimpleNamespace(config=config, trial_id=trial_id or f"tune-{sample.number}")


def train(
    halving: Halving, one: Any, accuracies: Sequence[float], *, first: int = 1, last: int = 6
) -> int | None:
    """Report epochs until the trial is stopped; returns after which it was, None if it was not."""
    halving.on_trial_add(None, one)
    for epoch, accuracy in enumerate(accuracies, first):
        result = {
            "progress/epoch": epoch,
            "progress/max_epochs": last,
            "progress/valid_accuracy": accuracy,
        }
        if halving.on_trial_result(None, one, result) == "STOP":
            return epoch
    return None


def test_a_trial_that_falls_behind_is_stopped_and_written_down(ledger: Ledger):
    halving = Halving(ledger, ASHA)
    good, bad = ledger.samples[:2]
    assert train(halving, trial(ledger, good), [0.5, 0.6, 0.7, 0.8, 0.9, 0.9]) is None
    assert train(halving, trial(ledger, bad), [0.5, 0.4, 0.9]) == 2
    outcome = ledger.outcomes[bad.point_id]
    assert (outcome.status, outcome.valid_accuracies) == ("stopped", (0.5, 0.4))
    assert good.point_id not in ledger.outcomes


def test_the_best_accuracy_so_far_counts_and_not_the_last(ledger: Ledger):
    halving = Halving(ledger, ASHA)
    assert train(halving, trial(ledger, ledger.samples[0]), [0.5, 0.6, 0.6, 0.7]) is None
    assert train(halving, trial(ledger, ledger.samples[1]), [0.65, 0.1, 0.1, 0.75]) is None


def test_a_trial_in_its_last_epoch_is_not_stopped(ledger: Ledger):
    halving = Halving(ledger, ASHA)
    assert train(halving, trial(ledger, ledger.samples[0]), [0.5, 0.9]) is None
    assert train(halving, trial(ledger, ledger.samples[1]), [0.5, 0.8], last=2) is None
    assert ledger.outcomes == {}


def test_a_later_driver_stops_by_what_earlier_trials_gave(
    ledger: Ledger, opened: Opened, storage: Storage
):
    put_record(storage, ledger.spec(ledger.samples[0]), valid_accuracy=0.9, epochs=6)
    later = Ledger(opened(), storage)
    assert train(Halving(later, ASHA), trial(later, later.samples[1]), [0.5]) is None
    later.update()
    assert train(Halving(later, ASHA), trial(later, later.samples[1]), [0.5]) == 1


def test_a_trial_that_goes_on_from_a_checkpoint_is_not_judged_by_what_it_has_passed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    halving = Halving(ledger, ASHA)
    train(halving, trial(ledger, ledger.samples[0]), [0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    monkeypatch.setattr(Ledger, "accuracies_so_far", lambda self, point_id: [0.5, 0.6, 0.7])
    resumed = ledger.samples[1]
    assert train(halving, trial(ledger, resumed), [0.7, 0.7], first=3) == 4
    assert ledger.outcomes[resumed.point_id].valid_accuracies == (0.5, 0.6, 0.7, 0.7)


def test_epochs_that_are_trained_again_are_heard_once(ledger: Ledger):
    halving, sample = Halving(ledger, ASHA), ledger.samples[1]
    train(halving, trial(ledger, ledger.samples[0]), [0.5, 0.6, 0.7, 0.8])
    assert train(halving, trial(ledger, sample), [0.5, 0.6, 0.7]) is None
    assert train(halving, trial(ledger, sample), [0.6, 0.7, 0.7], first=2) == 4
    assert ledger.outcomes[sample.point_id].valid_accuracies == (0.5, 0.6, 0.7, 0.7)


def test_what_cannot_be_written_down_is_not_stopped(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    halving = Halving(ledger, ASHA)
    train(halving, trial(ledger, ledger.samples[0]), [0.9])

    def fail(*args: object) -> None:
        raise StorageError("the server is away")

    monkeypatch.setattr(Ledger, "stop", fail)
    assert train(halving, trial(ledger, ledger.samples[1]), [0.1]) is None


def ids_of(course: Course) -> list[str]:
    """What a course hands out until it ends."""
    ids: list[str] = []
    while (config := course.suggest(f"tune-{len(ids)}")) != Searcher.FINISHED:
        ids.append(config["spec"]["point"]["seed"])
    return ids


def test_a_course_hands_out_what_is_to_do_in_order_then_ends(ledger: Ledger):
    todo = ledger.samples[1:4]
    course = Course(ledger, todo)
    assert course.has_next
    assert ids_of(course) == [sample.point.seed for sample in todo]
    assert course.handed_out == {sample.point_id for sample in todo}
    assert not course.has_next


def test_what_another_driver_has_stopped_meanwhile_is_not_handed_out(
    ledger: Ledger, opened: Opened, storage: Storage
):
    course = Course(ledger, ledger.samples[:3])
    Ledger(opened(), storage).stop(ledger.samples[1].point_id, "asha", [0.25])
    assert ids_of(course) == [ledger.samples[place].point.seed for place in (0, 2)]
    assert ledger.samples[1].point_id not in course.handed_out


def test_what_failed_before_is_handed_out_to_be_tried_again(ledger: Ledger, storage: Storage):
    put_failure(storage, ledger.spec(ledger.samples[0]), "MemoryError: no more")
    ledger.update()
    assert ids_of(Course(ledger, ledger.samples[:1])) == [ledger.samples[0].point.seed]


def test_a_course_ends_at_its_limit(ledger: Ledger):
    assert len(ids_of(Course(ledger, ledger.samples, 2))) == 2


def test_optuna_draws_after_what_is_to_do_and_writes_each_sample_first(
    opened: Opened, storage: Storage
):
    ledger = Ledger(opened(sampler="optuna"), storage)
    ledger.begin()
    first = ledger.draw()
    course = Course(ledger, [first])
    assert course.most == 6
    seeds = ids_of(course)
    assert seeds == [
        sample.point.seed for sample in Ledger(opened(sampler="optuna"), storage).samples
    ]
    assert len(seeds) == 6


def test_a_point_that_is_drawn_again_is_not_run_again(opened: Opened, storage: Storage):
    search = opened(sampler="optuna").study.search
    assert search is not None
    ledger = Ledger(opened(sampler="optuna"), storage)
    ledger.search.space.drawn["seed"] = Choice((1,))  # pyright: ignore
    ledger.search.space.drawn["lr"] = Choice((0.1, 0.2))  # pyright: ignore
    ledger.begin()
    course = Course(ledger, [])
    assert len(ids_of(course)) <= 2
    assert len(ledger.samples) == 6
    assert not course.has_next


def test_the_end_of_a_trial_is_written_down(ledger: Ledger, storage: Storage):
    course, sample = Course(ledger, ledger.samples[:1]), ledger.samples[0]
    course.suggest("a")
    put_record(storage, ledger.spec(sample), valid_accuracy=0.5)
    course.on_trial_complete("a", {"status": "elsewhere"})
    assert ledger.outcomes == {}
    course.on_trial_complete("a", {"status": "finished"})
    assert ledger.outcomes[sample.point_id].status == "finished"


def test_trials_that_differ_in_their_recipe_have_different_labels(opened: Opened, storage: Storage):
    ledger = Ledger(opened(), storage)
    ledger.search.space.drawn["batch_size"] = Choice((4, 8))  # pyright: ignore
    ledger.foresee()
    label = Course(ledger, []).label(trial(ledger, ledger.samples[0]))
    assert label.endswith(f" batch_size={ledger.samples[0].recipe.batch_size}")
