"""Read the objects of a storage: listed, read in parallel, parsed and checked.

A file whose name is not exactly a key of the storage is a stray one: it is named, never counted
and never read. An object that cannot be used is damaged: RecordError names it and says why.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tune_jobs.point import GridPoint
from tune_jobs.records.calibration import Calibration
from tune_jobs.records.keys import (
    Key,
    calibration_key,
    failure_key,
    failures_folder,
    outcome_key,
    parse_key,
    record_key,
    samples_key,
    search_key,
    study_key,
)
from tune_jobs.records.schema import RecordError
from tune_jobs.records.search import Sample, SearchOutcome, SearchRecord, samples_from_lines
from tune_jobs.records.study import StudyRecord
from tune_jobs.records.trial import (
    FailureRecord,
    Score,
    TrialRecord,
    point_of_record,
    score_of_record,
)
from tune_jobs.storage.storage import Content, Storage, StoredObject

T = TypeVar("T")
Place = TypeVar("Place")  # where an object lies: its key, or a storage and its key


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in one folder of a storage: its objects by key, and stray files by name."""

    objects: tuple[tuple[Key, StoredObject], ...]
    strays: tuple[str, ...]


def list_folder(storage: Storage, folder: str) -> Listing:
    """List a folder such as ``records`` once, and take every key in it apart."""
    objects, strays = [], []
    for item in storage.list(folder):
        key = parse_key(item.key)
        if key:
            objects.append((key, item))
        else:
            strays.append(item.key)
    return Listing(tuple(objects), tuple(strays))


def read_each(
    storage: Storage,
    keys: Iterable[str],
    parse: Callable[[str, bytes], T],
    damaged: list[str] | None = None,
) -> Iterator[tuple[str, T]]:
    """Read objects in parallel; yields the key of each and what ``parse`` makes of it, in order.

    Objects that are not there (any more) are left out. ``damaged`` gets a sentence for each that
    cannot be used; without it, the first of them raises RecordError.
    """
    for key, content in storage.read_many(keys):
        found = parse_or_error(parse, key, content)
        if isinstance(found, FileNotFoundError):  # removed since it was listed
            continue
        if not isinstance(found, RecordError):
            yield key, found
        elif damaged is None:
            raise _named(key, found)
        else:
            damaged.append(f"{key}: {found}")


def parse_or_error(
    parse: Callable[[Place, bytes], T], place: Place, content: Content | RecordError
) -> T | FileNotFoundError | RecordError:
    """What ``parse`` makes of an object that lies somewhere, or the error that says why nothing.

    The one place where an object that cannot be used becomes a value, so that others are not lost
    with it.
    """
    if not isinstance(content, bytes):
        return content
    try:
        return parse(place, content)
    except RecordError as error:
        return error


def look_up(
    storage: Storage, key: str, parse: Callable[[str, bytes], T]
) -> T | FileNotFoundError | RecordError:
    """What ``parse`` makes of one object, or the error that says why nothing."""
    return parse_or_error(parse, key, storage.read_or_error(key))


def read_record(storage: Storage, point_id: str) -> TrialRecord:
    """The record of a finished point, which is its own and agrees with itself.

    Raises FileNotFoundError if there is none, RecordError if it is damaged.
    """
    return _read_one(storage, record_key(point_id), parse_record)


def stored_record(storage: Storage, point_id: str) -> TrialRecord | None:
    """The record of a point; None if it has none, RecordError if it is damaged."""
    try:
        return read_record(storage, point_id)
    except FileNotFoundError:
        return None


def read_records(
    storage: Storage, point_ids: Iterable[str], damaged: list[str] | None = None
) -> dict[str, TrialRecord]:
    """Records by point_id, of those points that have one; ``damaged`` as for ``read_each``."""
    keys = map(record_key, point_ids)
    return {
        record.point_id: record for _, record in read_each(storage, keys, parse_record, damaged)
    }


def last_failure(storage: Storage, point_id: str, attempt: int | None = None) -> FailureRecord:
    """The failure of a point's latest ``attempt``, which is looked for if it is not given.

    Raises FileNotFoundError if there is none, RecordError if it is damaged.
    """
    if attempt is None:
        attempt = max(attempts(storage, point_id), default=1)
    return _read_one(storage, failure_key(point_id, attempt), parse_failure)


def attempts(storage: Storage, point_id: str) -> list[int]:
    """The numbers of a point's failed attempts."""
    listing = list_folder(storage, failures_folder(point_id))
    return [key.attempt for key, _ in listing.objects if key.attempt is not None]


def read_study(storage: Storage, study: str, phase: str) -> StudyRecord | None:
    """A phase as it was written down; None if it was not."""
    try:
        return _read_one(storage, study_key(study, phase), parse_study)
    except FileNotFoundError:
        return None


def read_search(storage: Storage, study: str) -> SearchRecord | None:
    """A search as it was written down; None if none of that name has begun."""
    try:
        return _read_one(storage, search_key(study), parse_search)
    except FileNotFoundError:
        return None


def read_calibration(storage: Storage, machine: str) -> Calibration | None:
    """What was measured on one kind of machine; None if nothing was."""
    try:
        return _read_one(storage, calibration_key(machine), parse_calibration)
    except FileNotFoundError:
        return None


def read_samples(storage: Storage, study: str) -> tuple[Sample, ...] | None:
    """What a search has drawn; None if no search of that name has begun."""
    try:
        return _read_one(storage, samples_key(study), parse_samples)
    except FileNotFoundError:
        return None


def read_outcomes(
    storage: Storage, keys: Iterable[str], damaged: list[str] | None = None
) -> dict[str, SearchOutcome]:
    """Some outcomes of a search by point_id; ``damaged`` as for ``read_each``."""
    found = read_each(storage, keys, parse_outcome, damaged)
    return {outcome.point_id: outcome for _, outcome in found}


def parse_record(key: str, content: bytes) -> TrialRecord:
    record = TrialRecord.from_json(content)
    require_own_key(key, record_key(record.point_id))
    return record


def parse_point(key: str, content: bytes) -> GridPoint:
    """Only the point of a record, which is quicker than to check it whole."""
    return point_of_record(content)


def parse_score(key: str, content: bytes) -> Score:
    """Only how well a record's point did."""
    return score_of_record(content)


def parse_failure(key: str, content: bytes) -> FailureRecord:
    failure = FailureRecord.from_json(content)
    require_own_key(key, failure_key(failure.point_id, failure.attempt))
    return failure


def parse_study(key: str, content: bytes) -> StudyRecord:
    phase = StudyRecord.from_json(content)
    require_own_key(key, study_key(phase.study, phase.phase))
    return phase


def parse_search(key: str, content: bytes) -> SearchRecord:
    search = SearchRecord.from_json(content)
    require_own_key(key, search_key(search.study))
    return search


def parse_calibration(key: str, content: bytes) -> Calibration:
    calibration = Calibration.from_json(content)
    require_own_key(key, calibration_key(calibration.name))
    return calibration


def parse_samples(key: str, content: bytes) -> tuple[Sample, ...]:
    samples = samples_from_lines(content)
    for sample in samples:
        require_own_key(key, samples_key(sample.study))
    return samples


def parse_outcome(key: str, content: bytes) -> SearchOutcome:
    outcome = SearchOutcome.from_json(content)
    require_own_key(key, outcome_key(outcome.study, outcome.point_id))
    return outcome


def require_own_key(key: str, own: str) -> None:
    """Raise RecordError unless an object lies under the key that belongs to its contents."""
    if key != own:
        raise RecordError(f"An object must lie under its own key; this is {own!r}.")


def _read_one(storage: Storage, key: str, parse: Callable[[str, bytes], T]) -> T:
    found = look_up(storage, key, parse)
    if isinstance(found, FileNotFoundError):
        raise found
    if isinstance(found, RecordError):
        raise _named(key, found)
    return found


def _named(key: str, error: RecordError) -> RecordError:
    return RecordError(f"{key}: {error}")
