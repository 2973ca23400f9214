"""Objects in a storage that nothing needs any more."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tune_jobs.claim import read_claim
from tune_jobs.plan import take_inventory
from tune_jobs.record import TrialRecord, point_id_of, record_key
from tune_jobs.storage import Storage, StoredObject


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object that can go, and why."""

    key: str
    size: int  # bytes
    reason: str


def find_leftovers(storage: Storage) -> list[Leftover]:
    """Stale claims, checkpoints of finished points, and weights that no record names.

    What belongs to a running trial is not among them. Everything that can go is listed before the
    claims and records that decide about it, so that a trial that ends meanwhile loses nothing.
    """
    claims, checkpoints, weights = (
        list(storage.list(prefix)) for prefix in ("claims", "checkpoints", "weights")
    )
    inventory = take_inventory(storage)
    stale = [item for item in claims if point_id_of(item.key) not in inventory.in_flight]
    done = [item for item in checkpoints if point_id_of(item.key) in inventory.finished]
    orphans = _orphans(
        [item for item in weights if _point_id(item) not in inventory.in_flight],
        inventory.finished,
        storage,
    )
    return [
        *(Leftover(item.key, item.size, "nobody is at it") for item in stale),
        *(Leftover(item.key, item.size, "its trial is finished") for item in done),
        *(Leftover(item.key, item.size, "no record names it") for item in orphans),
    ]


def remove(leftover: Leftover, storage: Storage) -> bool:
    """Remove an object, unless it is a claim that somebody has taken over meanwhile."""
    folder, point_id = leftover.key.split("/")[0], point_id_of(leftover.key)
    if folder == "claims" and (claim := read_claim(storage, point_id)) and claim.is_fresh:
        return False
    storage.delete(leftover.key)
    return True


def _orphans(
    weights: list[StoredObject], finished: frozenset[str], storage: Storage
) -> Iterator[StoredObject]:
    """A record is read only where a point has several weights."""
    of_point: dict[str, list[StoredObject]] = defaultdict(list)
    for item in weights:
        of_point[_point_id(item)].append(item)
    for point_id, items in of_point.items():
        if point_id not in finished:
            yield from items
        elif len(items) > 1:
            named = TrialRecord.from_json(storage.read(record_key(point_id))).weights_key
            yield from (item for item in items if item.key != named)


def _point_id(weights: StoredObject) -> str:
    return point_id_of(weights.key).partition("-")[0]
