"""The key ``search`` of a study file: the number of trials, the sampler and early stopping."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean
from tune_jobs.study.checks import check_count, is_whole, mapping, number
from tune_jobs.study.space import Space, parse_space

SAMPLERS = ("random", "optuna")
MOST_TRIALS = 1000  # Tune writes the state of a whole search again and again


@dataclass(frozen=True, kw_only=True, slots=True)
class Asha:
    """Early stopping: of the trials that get to an epoch, one in ``reduction_factor`` goes on.

    The epochs are ``grace_epochs`` and its multiples by powers of ``reduction_factor``.

    Source: Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning",
    arXiv:1810.05934.
    """

    grace_epochs: int = 5
    reduction_factor: float = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """``trials`` samples of a space; ``rng`` decides all of them if ``sampler`` is random."""

    space: Space
    trials: int
    rng: int = 1
    sampler: str = "random"
    asha: Asha | None = None

    def with_datasets(self, names: Mapping[str, str]) -> Self:
        """The same search, its datasets called otherwise."""
        return replace(self, space=self.space.with_datasets(names))


def parse_search(top: dict[str, Any]) -> Search:
    """Check the keys of a study file that has a search."""
    for key in ("groups", "phases"):
        if key in top:
            raise TuneJobsError(f"{key} must not stand beside search, which draws its points.")
    given = mapping(top["search"], "search", ("trials", "rng", "sampler", "asha"))
    space = parse_space(top.get("axes"), top.get("recipe"))
    trials = check_count(given.get("trials"), "search.trials")
    if trials > MOST_TRIALS:
        raise TuneJobsError(f"search.trials must be at most {MOST_TRIALS:,}; got {trials!r:.60}.")
    rng = given.get("rng", 1)
    if not is_whole(rng) or not 0 <= rng < 2**32:
        raise TuneJobsError(
            f"search.rng must be a whole number from 0 to 2**32 - 1; got {rng!r:.60}."
        )
    sampler = given.get("sampler", "random")
    if sampler not in SAMPLERS:
        raise TuneJobsError(
            f"search.sampler must be known; got {sampler!r:.60}.{did_you_mean(sampler, SAMPLERS)}"
        )
    if not space.drawn:
        raise TuneJobsError(
            "A search must draw at least one field from a distribution such as "
            "{loguniform: [1e-4, 1e-1]}; this one draws none."
        )
    asha = _asha(given["asha"], space) if "asha" in given else None
    return Search(space=space, trials=trials, rng=rng, sampler=sampler, asha=asha)


def _asha(content: object, space: Space) -> Asha:
    given = mapping(content, "search.asha", ("grace_epochs", "reduction_factor"))
    grace = check_count(given.get("grace_epochs", Asha().grace_epochs), "search.asha.grace_epochs")
    longest = max(space.probes("max_epochs"))
    if grace >= longest:
        raise TuneJobsError(
            "search.asha.grace_epochs must be below max_epochs, or no trial is ever stopped; "
            f"got {grace!r:.60} and {longest!r:.60}."
        )
    factor = number(given.get("reduction_factor", Asha().reduction_factor))
    if factor is None or not 1 < factor <= 1000:
        raise TuneJobsError(
            "search.asha.reduction_factor must be a number above 1, at most 1000; "
            f"got {given.get('reduction_factor')!r:.60}."
        )
    return Asha(grace_epochs=grace, reduction_factor=float(factor))
