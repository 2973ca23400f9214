"""Rules that choose a cell's learning rate from the results of a phase; pure."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType

from tune_jobs.point import Cell
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import Choice, RateEvidence, RunEvidence

Merit = tuple[float, ...]  # compared entry by entry; more is better


def choose(rule: str, cell: Cell, runs: Mapping[float, Sequence[RunEvidence]]) -> Choice:
    """Apply a rule to the runs of a cell at each learning rate.

    The rate of most merit is chosen, the smaller of two with equal merit. A run without the
    outcome that the rule can count leaves the cell undecided; nothing is put in its place.
    """
    counted = _COUNTED[rule]
    rates = tuple(_rate(lr, runs[lr], counted) for lr in sorted(runs))
    gaps = [
        f"lr={rate.lr:g} seed={run.seed} {run.outcome}"
        for rate in rates
        for run in rate.runs
        if run.outcome not in counted
    ]
    best = max(rates, key=RULES[rule]) if not gaps else None  # max takes the first, smaller, rate
    return Choice(
        cell=cell,
        rule=rule,
        lr=best.lr if best else None,
        undecided=", ".join(gaps),
        rates=rates,
    )


def paper_rule(rate: RateEvidence) -> Merit:
    """The median best validation accuracy.

    Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.3.
    """
    assert rate.median is not None
    return (rate.median,)


def robust_rule(rate: RateEvidence) -> Merit:
    """First the share of runs that did not collapse, then the median best validation accuracy.

    A run whose loss diverged has given its answer, the same on every attempt: it counts as
    collapsed. A run that failed in another way has given none.
    """
    assert rate.sound_share is not None
    assert rate.median is not None
    return (rate.sound_share, rate.median)


RULES: Mapping[str, Callable[[RateEvidence], Merit]] = MappingProxyType(
    {"paper": paper_rule, "robust": robust_rule}
)
_COUNTED: Mapping[str, frozenset[TrialState]] = {
    "paper": frozenset({TrialState.FINISHED}),
    "robust": frozenset({TrialState.FINISHED, TrialState.DIVERGED}),
}


def _rate(lr: float, runs: Sequence[RunEvidence], counted: frozenset[TrialState]) -> RateEvidence:
    complete = bool(runs) and all(run.outcome in counted for run in runs)
    # A diverged run stands below all others; only its place matters to a median.
    accuracies = [run.best_valid_accuracy or 0.0 for run in runs]
    sound = sum(run.outcome is TrialState.FINISHED and not run.collapsed for run in runs)
    return RateEvidence(
        lr=lr,
        median=median(accuracies) if complete else None,
        sound_share=sound / len(runs) if complete else None,
        runs=tuple(sorted(runs, key=lambda run: run.seed)),
    )
