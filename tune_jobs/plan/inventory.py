"""What a storage holds of each point, taken once and passed on as a value."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from stir.terminal import step
from tune_jobs.point import TrialSpec
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage, StoredObject
from tune_jobs.storage.claim import Claim, read_claims
from tune_jobs.storage.reader import Listing, list_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """Which points have which objects in a storage, by point_id; names only, except of claims.

    ``attempts`` has the number of the latest failure of each point that failed. ``claimed`` are
    the objects of all claims, ``claims`` those that a live process holds on points without a
    record. ``strays`` are files in the folders listed that are no objects of the storage.
    """

    records: Mapping[str, StoredObject]
    attempts: Mapping[str, int]
    claimed: Mapping[str, StoredObject]
    claims: Mapping[str, Claim]
    strays: tuple[str, ...]

    @property
    def finished(self) -> Set[str]:
        return self.records.keys()

    @property
    def failed(self) -> Set[str]:
        """Points with a failure, whether or not a later attempt gave a record."""
        return self.attempts.keys()

    @property
    def in_flight(self) -> Set[str]:
        return self.claims.keys()

    def state(self, point_id: str) -> TrialState:
        if point_id in self.records:
            return TrialState.FINISHED
        if point_id in self.claims:
            return TrialState.IN_FLIGHT
        return TrialState.FAILED if point_id in self.attempts else TrialState.TO_DO

    def states(self, specs: Iterable[TrialSpec]) -> dict[str, TrialState]:
        """The state of each point by its id."""
        return {point_id: self.state(point_id) for point_id in (spec.point_id for spec in specs)}


def take_inventory(storage: Storage) -> Inventory:
    """List claims, records and failures, once each, and read the claims on unfinished points.

    Claims come first, so that a trial that ends meanwhile is finished and not to do.
    """
    with step(f"listing {storage.uri}"):
        claims, records, failures = (
            list_folder(storage, folder) for folder in ("claims", "records", "failures")
        )
    finished, claimed = _by_point(records), _by_point(claims)
    attempts: dict[str, int] = {}
    for key, _ in failures.objects:
        if key.point_id and key.attempt:
            attempts[key.point_id] = max(key.attempt, attempts.get(key.point_id, 0))
    claims_read = read_claims(storage, (one for one in claimed if one not in finished))
    return Inventory(
        records=finished,
        attempts=attempts,
        claimed=claimed,
        claims={one: claim for one, claim in claims_read.items() if claim.is_fresh},
        strays=(*claims.strays, *records.strays, *failures.strays),
    )


def survey(specs: Iterable[TrialSpec], storage: Storage) -> dict[str, TrialState]:
    """The state of each point by its id, as the storage is now."""
    return take_inventory(storage).states(specs)


def _by_point(listing: Listing) -> dict[str, StoredObject]:
    return {key.point_id: item for key, item in listing.objects if key.point_id}
