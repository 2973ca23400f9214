import sys
from dataclasses import replace
from typing import Any

import pytest

from tune_jobs.errors import TuneJobsError
from tune_jobs.records.search import Sample, SearchOutcome
from tune_jobs.records.state import TrialState
from tune_jobs.search.samplers import Drawn, draw, require_sampler
from tune_jobs.study.distributions import Choice, Steps, Uniform
from tune_jobs.study.search import Search
from tune_jobs.study.space import Space

SPACE = Space(
    fixed={
        "model": "standard",
        "dataset": "emoji",
        "scenario": 2,
        "interpolation": None,
        "seed": 1,
        "max_epochs": 9,
        "patience": 9,
    },
    drawn={
        "kernel_size": Choice((3, 7)),
        "lr": Uniform(1e-5, 1.0, log=True),
        "batch_size": Steps(8, 32, 8),
    },
)
RANDOM = Search(space=SPACE, trials=30, rng=1)
OPTUNA = replace(RANDOM, sampler="optuna")


def drawn(number: int, values: dict[str, Any], accuracy: float | None, status: str) -> Drawn:
    point, recipe = SPACE.at(values)
    point_id = f"{number:012}"
    sample = Sample(
        study="x", number=number, point_id=point_id, drawn=values, point=point, recipe=recipe
    )
    outcome = SearchOutcome(
        study="x",
        point_id=point_id,
        status=TrialState(status),
        reason="",
        valid_accuracies=() if accuracy is None else (accuracy,),
        test_accuracy=None,
        ended_at="",
    )
    return Drawn(sample, outcome)


def past(search: Search, count: int, status: str = TrialState.FINISHED) -> list[Drawn]:
    """Draws whose accuracy is the better the nearer the rate is to 0.01."""
    done: list[Drawn] = []
    for number in range(1, count + 1):
        values = draw(search, number, done)
        near = 1 / (1 + abs(values["lr"] - 0.01) / 0.01)
        done.append(drawn(number, values, near, status))
    return done


@pytest.mark.parametrize("search", [RANDOM, OPTUNA], ids=["random", "optuna"])
def test_equal_seeds_draw_equal_samples_and_other_seeds_others(search: Search):
    def rates(rng: int) -> list[float]:
        return [one.sample.drawn["lr"] for one in past(replace(search, rng=rng), 4)]

    assert rates(1) == rates(1)
    assert rates(1) != rates(2)


@pytest.mark.parametrize("search", [RANDOM, OPTUNA], ids=["random", "optuna"])
def test_what_is_drawn_is_in_the_space(search: Search):
    for one in past(search, 12):
        values = one.sample.drawn
        assert list(values) == list(SPACE.drawn)
        assert values["kernel_size"] in (3, 7)
        assert 1e-5 <= values["lr"] <= 1
        assert values["lr"] == float(f"{values['lr']:.4g}")
        assert values["batch_size"] in (8, 16, 24, 32)


def test_a_random_sample_does_not_depend_on_those_before_it():
    assert draw(RANDOM, 7, []) == draw(RANDOM, 7, past(RANDOM, 6))


def test_optuna_looks_where_it_was_good():
    later = [one.sample.drawn["lr"] for one in past(OPTUNA, 30)[15:]]
    near = sum(0.002 < lr < 0.05 for lr in later)
    assert near >= 10  # four of fifteen random ones would be


def test_optuna_hears_of_stopped_diverged_and_running_trials_but_not_of_failed_ones():
    before = past(OPTUNA, 12)
    told = draw(OPTUNA, 13, before)
    for status in (TrialState.STOPPED, TrialState.DIVERGED):
        other = [Drawn(d.sample, replace(d.outcome, status=status)) for d in before]  # pyright: ignore
        assert draw(OPTUNA, 13, other[:6] + before[6:]) != told
    running = [Drawn(d.sample, None) for d in before[:6]]
    assert draw(OPTUNA, 13, running + before[6:]) != told
    failed = [Drawn(d.sample, replace(d.outcome, status=TrialState.FAILED)) for d in before]  # pyright: ignore
    assert draw(OPTUNA, 13, failed) == draw(OPTUNA, 13, [])


def test_without_optuna_the_extra_that_has_it_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)  # importing it raises
    require_sampler(RANDOM)
    with pytest.raises(TuneJobsError, match=r"pip install 'scale-generalization\[optuna\]'"):
        require_sampler(OPTUNA)
