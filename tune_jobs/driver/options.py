"""How a run is carried out, whatever it runs."""

from dataclasses import dataclass

from tune_jobs.cluster.address import LOCAL
from tune_jobs.trial.outcome import CHECKPOINT_SECONDS

DRIVER_BYTES = 6  # drawn at random, for a name that no other driver has


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """Where trials run, how many at once, and when to stop; no result depends on any of it.

    ``address`` is ``local`` for a Ray of this machine, ``auto`` for the cluster that it belongs to,
    or HOST:PORT of a cluster. ``max_concurrent`` None lets as many trials run as there is room for.
    ``price`` is money per hour of all machines together, where they do not say themselves what they
    cost; what it adds up to is shown and stored. At ``budget`` the run stops, counted from the
    study's beginning.
    """

    checkpoint_seconds: float = CHECKPOINT_SECONDS
    max_concurrent: int | None = None
    retry_failed: bool = False
    stop_after_seconds: float | None = None
    stop_after_points: int | None = None
    address: str = LOCAL
    price: float | None = None
    budget: float | None = None
