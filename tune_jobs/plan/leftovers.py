"""Objects in a storage that nothing needs any more, and records that are damaged."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tune_jobs.plan.plan import take_inventory
from tune_jobs.records.trial import (
    RECORD_SCHEMA,
    RecordError,
    TrialRecord,
    point_id_of,
    record_key,
)
from tune_jobs.storage import Storage, StoredObject
from tune_jobs.storage.claim import read_claim

READERS = 8  # threads, for storages that answer slowly
MEASURED = ("evaluations", "predictions", "index_maps")  # of weights that a record names


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object that can go, and why."""

    key: str
    size: int  # bytes
    reason: str
    aside: str = ""  # where it is moved to; nothing: it is removed


def find_leftovers(storage: Storage) -> list[Leftover]:
    """Damaged records, stale claims, checkpoints of finished points, weights that no record names.

    A damaged record is moved aside, so that its point is not finished any more and a run trains it
    again; its checkpoint and weights are left for that, but what was measured of its weights goes,
    before it. Every record is read for this. What belongs to a running trial is not among the
    rest: everything that can go is listed before the claims and records that decide about it, so
    that a trial that ends meanwhile loses nothing.
    """
    claims, checkpoints, weights = (
        list(storage.list(prefix)) for prefix in ("claims", "checkpoints", "weights")
    )
    inventory = take_inventory(storage)
    damaged = list(_damaged(inventory.finished, storage))
    spoilt = {point_id_of(leftover.key) for leftover in damaged}
    stale = [item for item in claims if point_id_of(item.key) not in inventory.in_flight]
    done = [item for item in checkpoints if point_id_of(item.key) in inventory.finished - spoilt]
    orphans = _orphans(
        [item for item in weights if _point_id(item) not in inventory.in_flight | spoilt],
        inventory.finished,
        storage,
    )
    measured = [
        item
        for folder in (MEASURED if spoilt else ())
        for item in storage.list(folder)
        if point_id_of(item.key) in spoilt
    ]
    return [
        *(Leftover(item.key, item.size, "its record is damaged") for item in measured),
        *damaged,
        *(Leftover(item.key, item.size, "nobody is at it") for item in stale),
        *(Leftover(item.key, item.size, "its trial is finished") for item in done),
        *(Leftover(item.key, item.size, "no record names it") for item in orphans),
    ]


def remove(leftover: Leftover, storage: Storage) -> bool:
    """Remove an object or move it aside, unless it is a claim that somebody has taken over
    meanwhile.
    """
    if leftover.aside:
        storage.write(leftover.aside, storage.read(leftover.key))
    folder, point_id = leftover.key.split("/")[0], point_id_of(leftover.key)
    if folder == "claims" and (claim := read_claim(storage, point_id)) and claim.is_fresh:
        return False
    storage.delete(leftover.key)
    return True


def _damaged(point_ids: Iterable[str], storage: Storage) -> Iterator[Leftover]:
    """Records that cannot be read; one of another version of the schema is none of them."""
    keys = [record_key(point_id) for point_id in sorted(point_ids)]
    with ThreadPoolExecutor(READERS) as pool:
        for key, data in zip(keys, pool.map(storage.read, keys), strict=True):
            try:
                record = TrialRecord.from_json(data)
                if record.point_id != point_id_of(key):
                    raise RecordError(f"it is the record of {record.point_id}.")
            except RecordError as error:
                if not _of_another_version(data):
                    digest = hashlib.sha256(data).hexdigest()[:12]
                    aside = f"damaged/{key.removesuffix('.json')}-{digest}.json"
                    yield Leftover(key, len(data), f"it is damaged: {error}", aside)


def _of_another_version(data: bytes) -> bool:
    """Whether an object says that it is a record of a schema that this version does not know."""
    name, _, version = RECORD_SCHEMA.partition("/")
    try:
        schema = json.loads(data)["schema"].partition("/")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    return schema[0] == name and schema[2] != version


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
