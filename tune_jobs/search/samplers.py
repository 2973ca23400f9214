"""How the next sample of a search is drawn from those before it."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.errors import TuneJobsError
from tune_jobs.records.search import Sample, SearchOutcome
from tune_jobs.records.state import TrialState
from tune_jobs.study.checks import is_whole
from tune_jobs.study.distributions import Choice, Distribution, Uniform
from tune_jobs.study.search import Search

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample that was drawn, and how it ended; None if that is not known yet."""

    sample: Sample
    outcome: SearchOutcome | None


def require_sampler(search: Search) -> None:
    """Raise TuneJobsError if the sampler needs what is not installed."""
    if search.sampler == "optuna":
        _optuna()


def draw(search: Search, number: int, past: Sequence[Drawn]) -> dict[str, Any]:
    """The values of sample ``number`` (from 1): the same each time for the same past.

    The random sampler does not depend on the past, so that all its samples are known in advance.
    """
    if search.sampler == "random":
        return search.space.draw(np.random.default_rng([search.rng, number]))
    return _draw_by_optuna(search, number, past)


def _draw_by_optuna(search: Search, number: int, past: Sequence[Drawn]) -> dict[str, Any]:
    """Draw with a new Optuna study that is given the whole past: no state is kept between draws."""
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int(np.random.default_rng([search.rng, number]).integers(2**32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # constant_liar: samples that are still running count as bad, so that none is drawn twice.
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    ranges = {name: _range(kind) for name, kind in search.space.drawn.items()}
    for drawn in past:
        if drawn.outcome is None or drawn.outcome.status is not TrialState.FAILED:
            study.add_trial(_optuna_trial(drawn, ranges))
    values = study.ask(ranges).params
    return {name: _short(search.space.drawn[name], value) for name, value in values.items()}


def _optuna_trial(
    drawn: Drawn, ranges: Mapping[str, "optuna.distributions.BaseDistribution"]
) -> "optuna.trial.FrozenTrial":
    """A sample of the past as a trial of Optuna's; a diverged one has the worst accuracy, 0."""
    from optuna.trial import TrialState as OptunaState
    from optuna.trial import create_trial

    params = {name: drawn.sample.drawn[name] for name in ranges}
    if drawn.outcome is None:
        return create_trial(state=OptunaState.RUNNING, params=params, distributions=dict(ranges))
    if drawn.outcome.status is TrialState.STOPPED:
        best = np.maximum.accumulate(drawn.outcome.valid_accuracies)
        return create_trial(
            state=OptunaState.PRUNED,
            params=params,
            distributions=dict(ranges),
            intermediate_values={epoch: float(value) for epoch, value in enumerate(best, 1)},
        )
    diverged = drawn.outcome.status is TrialState.DIVERGED
    value = 0.0 if diverged else drawn.outcome.best_valid_accuracy
    return create_trial(value=value, params=params, distributions=dict(ranges))


def _range(kind: Distribution) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    if isinstance(kind, Choice):
        return distributions.CategoricalDistribution(kind.options)
    if isinstance(kind, Uniform):
        return distributions.FloatDistribution(kind.low, kind.high, log=kind.log)
    last = kind.value(kind.count - 1)
    if is_whole(kind.low) and is_whole(last) and is_whole(kind.step):
        return distributions.IntDistribution(kind.low, last, step=kind.step)
    return distributions.FloatDistribution(kind.low, last, step=kind.step)


def _short(kind: Distribution, value: Any) -> Any:
    return kind.short(value) if isinstance(kind, Uniform) else value


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise TuneJobsError(
            "search.sampler: optuna needs Optuna, which is not installed; "
            "`pip install 'scale-generalization[optuna]'` installs it, sampler: random does "
            "without."
        ) from None
    return optuna
