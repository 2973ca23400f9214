"""Find and remove objects that nothing needs any more, and move damaged records aside.

A listing may lack what is there: that an object is needed no more is decided by asking for the
record and the claim of its point, when it is found and again before it goes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from tune_jobs import clock
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.inventory import Inventory, take_inventory
from tune_jobs.records.keys import Kind, damaged_key, parse_key, point_id_of, record_key
from tune_jobs.records.schema import OtherVersionError, RecordError
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import READERS, Content, DamagedError, Storage
from tune_jobs.storage.claim import read_claim
from tune_jobs.storage.reader import Listing, list_folder, parse_or_error, parse_record

T = TypeVar("T")
KEPT_SECONDS = 24 * 3600.0  # weights without a record: longer than any process stands still
MEASURED = ("evaluations", "predictions", "index_maps")  # of weights that a record names


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object that can go, and why."""

    key: str
    size: int  # bytes
    reason: str
    aside: str = ""  # where it is moved to; nothing: it is removed


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What can go, in the order in which it is safe to remove it; and stray files, which stay."""

    gone: tuple[Leftover, ...]
    strays: tuple[str, ...]


def find_leftovers(storage: Storage) -> Leftovers:
    """Damaged records, stale claims, checkpoints of finished points, weights that no record names.

    A damaged record is moved aside, so that its point is not finished any more and a run trains it
    again; its checkpoint and weights are left for that, but what was measured of its weights goes,
    before it. Every record is read for this. What belongs to a running trial is not among the
    rest: everything that can go is listed before the claims and records that decide about it, so
    that a trial that ends meanwhile loses nothing. Weights younger than KEPT_SECONDS stay: a
    process that stands still between them and its record may need them yet, or a record that is
    still on its way; and what is sent to remove them may arrive late.

    Raises TuneJobsError where there are weights and not one record, which no study leaves behind.
    """
    checkpoints, weights = (list_folder(storage, folder) for folder in ("checkpoints", "weights"))
    inventory = take_inventory(storage)
    _require_records(weights, inventory, storage)
    good, damaged = _sorted_records(inventory.finished, storage)
    spoilt = {point_id_of(leftover.key) for leftover in damaged}
    measured = [list_folder(storage, folder) for folder in (MEASURED if spoilt else ())]
    of_spoilt = [item for one in measured for key, item in one.objects if key.point_id in spoilt]
    stale = [
        item for point_id, item in inventory.claimed.items() if point_id not in inventory.in_flight
    ]
    done = [item for key, item in checkpoints.objects if key.point_id in good]
    unnamed = [
        item
        for key, item in weights.objects
        if good.get(key.point_id or "") != item.key
        if clock.now() - item.modified > KEPT_SECONDS
    ]
    orphans = _at_once(lambda item: _is_orphan(item.key, storage), unnamed)
    gone = [
        *(Leftover(item.key, item.size, "its record is damaged") for item in of_spoilt),
        *damaged,
        *(Leftover(item.key, item.size, "no live process holds it") for item in stale),
        *(Leftover(item.key, item.size, "its trial is finished") for item in done),
        *(Leftover(item.key, item.size, "no record names it") for item, is_so in orphans if is_so),
    ]
    strays = [name for one in (checkpoints, weights, *measured) for name in one.strays]
    return Leftovers(tuple(gone), (*inventory.strays, *strays))


def remove_all(leftovers: Iterable[Leftover], storage: Storage) -> Iterator[Leftover]:
    """Remove objects, READERS at once; yields those that went: some may be needed after all.

    What was measured of damaged records' weights is gone before those records are moved aside.
    """
    for _, alike in groupby(leftovers, key=lambda leftover: bool(leftover.aside)):
        for leftover, is_gone in _at_once(lambda leftover: remove(leftover, storage), alike):
            if is_gone:
                yield leftover


def remove(leftover: Leftover, storage: Storage) -> bool:
    """Remove an object or move it aside, unless it turns out to be needed after all."""
    key, parsed = leftover.key, parse_key(leftover.key)
    if parsed is None or parsed.point_id is None:  # a stray file, which is not ours to remove
        return False
    point_id = parsed.point_id
    if parsed.kind is Kind.CLAIM:
        needed = _is_claimed(point_id, storage)
    elif parsed.kind is Kind.WEIGHTS:
        needed = not _is_orphan(key, storage)
    elif parsed.kind is Kind.CHECKPOINT:
        needed = not isinstance(_record(point_id, storage), TrialRecord)
    else:
        needed = not isinstance(_record(point_id, storage), RecordError)
    if needed:
        return False
    if parsed.kind is Kind.WEIGHTS:
        return _remove_weights(key, point_id, storage)
    if leftover.aside:
        storage.write(leftover.aside, _content(key, storage))
    storage.delete(key)
    return True


def _remove_weights(key: str, point_id: str, storage: Storage) -> bool:
    """Remove weights, and put them back if their record came meanwhile.

    A trial that stood still between the two writes the record and then looks for the weights, so
    that one of both sees what the other has done.
    """
    try:
        content = storage.read_stored(key)
    except FileNotFoundError:
        return False
    storage.delete(key)
    record = _record(point_id, storage)
    if isinstance(record, TrialRecord) and record.weights_key == key:
        storage.write(key, content)
        return False
    return True


def _require_records(weights: Listing, inventory: Inventory, storage: Storage) -> None:
    if weights.objects and not inventory.finished:
        raise TuneJobsError(
            f"A storage with weights must have records to clean by; {storage.uri} lists "
            f"{len(weights.objects)} weights and not one record. If its trials all died before "
            "their records, run the study; if its records are elsewhere, bring them back."
        )


def _sorted_records(
    point_ids: Iterable[str], storage: Storage
) -> tuple[dict[str, str], list[Leftover]]:
    """The weights that each good record names, by point_id; and the damaged records.

    A record of another version of the schema is neither.
    """
    good: dict[str, str] = {}
    damaged: list[Leftover] = []
    keys = (record_key(point_id) for point_id in sorted(point_ids))
    for key, content in storage.read_many(keys):
        record = _judged(key, content)
        if isinstance(record, TrialRecord):
            good[record.point_id] = record.weights_key
        elif isinstance(record, RecordError):
            data = _content(key, storage)
            aside = damaged_key(point_id_of(key) or "", hashlib.sha256(data).hexdigest())
            damaged.append(Leftover(key, len(data), f"it is damaged: {record}", aside))
    return good, damaged


def _record(point_id: str, storage: Storage) -> TrialRecord | RecordError | None:
    key = record_key(point_id)
    return _judged(key, storage.read_or_error(key))


def _judged(key: str, content: Content) -> TrialRecord | RecordError | None:
    """A point's record, or what is wrong with it; None if there is none that we know to read."""
    found = parse_or_error(parse_record, key, content)
    return None if isinstance(found, FileNotFoundError | OtherVersionError) else found


def _content(key: str, storage: Storage) -> bytes:
    """What a record holds, or all that is stored under its key if that is not what was written."""
    try:
        return storage.read(key)
    except DamagedError:
        return storage.read_stored(key)


def _is_orphan(key: str, storage: Storage) -> bool:
    """Whether a point's weights are named by no record and awaited by no running trial."""
    point_id = point_id_of(key)
    if point_id is None or _is_claimed(point_id, storage):
        return False
    record = _record(point_id, storage)  # after the claim, which goes when the record is there
    if isinstance(record, TrialRecord):
        return record.weights_key != key
    return record is None and not storage.exists(record_key(point_id))


def _at_once(ask: Callable[[T], bool], items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Each item with the answer to a question that a storage may take long for."""
    waiting = list(items)
    with ThreadPoolExecutor(READERS) as pool:
        yield from zip(waiting, pool.map(ask, waiting), strict=True)


def _is_claimed(point_id: str, storage: Storage) -> bool:
    claim = read_claim(storage, point_id)
    return claim is not None and claim.is_fresh
