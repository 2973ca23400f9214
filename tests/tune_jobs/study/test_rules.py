import pytest

from tune_jobs.point import Cell
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import Choice, RunEvidence
from tune_jobs.records.trial import has_collapsed
from tune_jobs.study.rules import choose

CELL = Cell(model="pixel_pool", dataset="emoji", scenario=4, kernel_size=7, interpolation="bicubic")
CLASSES = 36


def run(seed: int, outcome: float | str) -> RunEvidence:
    """A finished run of that best validation accuracy, or one of another outcome."""
    finished = not isinstance(outcome, str)
    return RunEvidence(
        point_id=f"{seed:012x}",
        seed=seed,
        outcome=TrialState.FINISHED if finished else TrialState(outcome),
        best_valid_accuracy=outcome if finished else None,
        collapsed=has_collapsed(outcome, CLASSES) if finished else None,
    )


def chosen(rule: str, **rates: list[float | str]) -> Choice:
    runs = {
        {"high": 1e-2, "low": 1e-3}[name]: [run(seed, one) for seed, one in enumerate(of_rate, 1)]
        for name, of_rate in rates.items()
    }
    return choose(rule, CELL, runs)


@pytest.mark.parametrize("rule", ["paper", "robust"])
def test_the_larger_median_wins(rule: str):
    assert chosen(rule, high=[0.2, 0.9, 0.8], low=[0.7, 0.7, 0.99]).lr == 1e-2
    assert chosen(rule, high=[0.2, 0.7, 0.6], low=[0.3, 0.7, 0.99]).lr == 1e-3


@pytest.mark.parametrize("rule", ["paper", "robust"])
def test_a_tie_goes_to_the_smaller_rate(rule: str):
    assert chosen(rule, high=[0.5, 0.9, 0.99], low=[0.9, 0.8, 0.95]).lr == 1e-3


@pytest.mark.parametrize("rule", ["paper", "robust"])
@pytest.mark.parametrize("outcome", ["missing", "failed"])
def test_a_run_without_an_answer_leaves_the_cell_undecided_and_is_named(rule: str, outcome: str):
    choice = chosen(rule, high=[0.9, 0.9, 0.9], low=[0.1, outcome, 0.1])
    assert choice.lr is None
    assert choice.undecided == f"lr=0.001 seed=2 {outcome}"
    assert [rate.median for rate in choice.rates] == [None, 0.9]


def test_the_published_case_that_misled_the_median_does_not_mislead_the_robust_rule():
    unstable = [0.028, 0.999, 0.997, 0.997, 0.998]  # 16 of the 50 published runs collapsed
    stable = [0.995, 0.996, 0.994, 0.995, 0.996]
    assert chosen("paper", high=unstable, low=stable).lr == 1e-2
    choice = chosen("robust", high=unstable, low=stable)
    assert choice.lr == 1e-3
    low, high = choice.rates
    assert (low.lr, low.sound_share, low.median) == (1e-3, 1.0, 0.995)
    assert (high.lr, high.sound_share, high.median) == (1e-2, 0.8, 0.997)


def test_between_rates_with_as_many_collapsed_runs_the_robust_rule_takes_the_median():
    assert chosen("robust", high=[0.02, 0.99, 0.99], low=[0.03, 0.8, 0.9]).lr == 1e-2


def test_a_diverged_run_counts_as_collapsed_for_robust_and_leaves_paper_undecided():
    rates = {"high": [0.99, "diverged", 0.99], "low": [0.6, 0.6, 0.6]}
    assert chosen("robust", **rates).lr == 1e-3
    assert chosen("paper", **rates).undecided == "lr=0.01 seed=2 diverged"


def test_a_run_has_collapsed_below_twice_chance():
    assert has_collapsed(2 / 36 - 1e-9, 36)
    assert not has_collapsed(2 / 36, 36)


def test_the_evidence_stands_in_order_of_rate_and_seed():
    runs = {0.01: [run(2, 0.5), run(1, 0.4)], 0.001: [run(1, 0.1), run(2, 0.2)]}
    choice = choose("paper", CELL, runs)
    assert [(r.lr, [one.seed for one in r.runs]) for r in choice.rates] == [
        (0.001, [1, 2]),
        (0.01, [1, 2]),
    ]
