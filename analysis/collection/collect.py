"""Collect the records of any number of storages into the Parquet tables of a results folder."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from analysis.collection import copies
from analysis.collection.copies import Copies, Place, keys_in
from analysis.collection.evaluations import collect_evaluations, new_evaluations
from analysis.collection.rows import Rows, rows_of_failure, rows_of_record, rows_of_study
from analysis.collection.searches import read_searches
from analysis.results.reporting import store_reported
from analysis.tables import parquet, schemas
from tune_jobs.records.keys import parse_key
from tune_jobs.records.study import StudyRecord
from tune_jobs.storage import READERS, Storage
from tune_jobs.storage.reader import parse_failure, parse_record, parse_study

_BATCH = 250  # objects whose rows are packed together, which bounds the memory

_PHASE = pa.schema({name: pa.string() for name in ("storage", "study", "phase")})
_FINISHED = pc.field("status") == "finished"


@dataclass(slots=True)
class Collected:
    """What a collection found; ``damaged`` names each object that could not be used, and why."""

    seen: int = 0  # records, failures and evaluations in the storages, new or not
    new: int = 0  # finished trials that were not in the tables before
    finished: int = 0  # in the tables now
    failed: int = 0  # points that have failures and no result
    evaluations: int = 0  # new ones
    repeated: int = 0  # points that lie in more than one storage; the first was taken
    damaged: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)  # files that are no objects of a storage


def collect(
    storages: Sequence[str], out: str, *, progress: Callable[[int, int], None] | None = None
) -> Collected:
    """Read the objects that ``out`` does not have yet and put them into its tables.

    May run while trials do: what finishes later is found by the next collection. ``progress`` is
    called with the number of objects read and to be read. A damaged object is named in the answer
    and does not keep the others out.
    """
    results = Storage(out)
    found = Collected()
    storages_read = [copies.opened(uri) for uri in storages]
    known = parquet.read_if_any("trials", results)
    wanted = _wanted(storages_read, set(known.filter(_FINISHED)["point_id"].to_pylist()), found)
    evaluated = new_evaluations(storages_read, results, found.strays)
    found.seen += len(evaluated)
    done, total = 0, len(wanted) + len(evaluated)

    def read(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    with ThreadPoolExecutor(READERS) as pool:
        rows = _trials(wanted, pool, found, read)
        _store_studies(storages_read, pool, results, found)
        _store(rows, results, found)
        found.evaluations = collect_evaluations(evaluated, results, pool, found.damaged, read)
    store_reported(results)
    return found


def _trials(
    wanted: Sequence[Copies],
    pool: ThreadPoolExecutor,
    found: Collected,
    read: Callable[[int], None],
) -> Rows:
    """The rows of records and failures; packed a batch at a time, which bounds the memory."""
    parts = {name: [schemas.SCHEMAS[name].empty_table()] for name in schemas.OF_TRIALS}
    every = copies.parsed(wanted, _trial, pool, found.damaged, read=read)
    while good := [rows for _, rows in islice(every, _BATCH)]:
        for name, tables_read in parts.items():
            empty = schemas.SCHEMAS[name].empty_table()
            joined = pa.concat_tables([empty, *(rows[name] for rows in good)])
            tables_read.append(joined.combine_chunks())
    return {name: pa.concat_tables(part) for name, part in parts.items()}


def _wanted(storages: Iterable[Storage], finished: set[str], found: Collected) -> list[Copies]:
    """The objects to read: new records, and the last failure of each point without a record.

    Each with its copies in the order of storages, a failure with earlier ones of its point too.
    """
    records: dict[str, list[Place]] = {}
    failures: dict[str, list[Place]] = {}
    for storage in storages:
        for folder, objects in (("records", records), ("failures", failures)):
            for key, name in keys_in(storage, folder, found.strays):
                objects.setdefault(key.point_id or "", []).append((storage, name))
    found.seen = len(records) + len(failures)
    found.repeated = sum(len(copies) > 1 for copies in records.values())
    new = [copies for point_id, copies in records.items() if point_id not in finished]
    done = finished | set(records)
    failed = [copies for point_id, copies in failures.items() if point_id not in done]
    return [*new, *(sorted(copies, key=_attempt, reverse=True) for copies in failed)]


def _attempt(place: Place) -> int:
    key = parse_key(place[1])
    return key.attempt or 0 if key else 0


def _trial(place: Place, content: bytes) -> Rows:
    _, key = place
    if key.startswith("records/"):
        return rows_of_record(parse_record(key, content))
    return rows_of_failure(parse_failure(key, content))


def _phase(place: Place, content: bytes) -> tuple[StudyRecord, Rows]:
    phase = parse_study(place[1], content)
    return phase, rows_of_study(phase, place[0].uri)


def _store_studies(
    storages: Sequence[Storage], pool: ThreadPoolExecutor, results: Storage, found: Collected
) -> None:
    """Read every phase and search again: unlike records, they change as a study goes on.

    A phase has rows of each storage that it lies in. What was read takes the place
    of what was collected of it before; what cannot be read stays.
    """
    written = [
        [(storage, key)]
        for storage in storages
        for _, key in keys_in(storage, "studies", found.strays)
    ]
    phases = list(copies.parsed(written, _phase, pool, found.damaged))
    good = [rows for _, (_, rows) in phases]
    good += read_searches(storages, pool, found.damaged, found.strays)
    rows = {
        name: pa.concat_tables(
            [schemas.SCHEMAS[name].empty_table(), *(one[name] for one in good if name in one)]
        )
        for name in schemas.OF_STUDIES
    }
    read = [(storage.uri, phase.study, phase.phase) for (storage, _), (phase, _) in phases]
    whole = pa.Table.from_pylist(
        [dict(zip(_PHASE.names, one, strict=True)) for one in read], _PHASE
    )
    whole = pa.concat_tables([whole, rows["study_points"].select(_PHASE.names)])
    parquet.extend("study_points", rows["study_points"], whole, results)
    parquet.extend("cells", rows["cells"], whole, results)
    parquet.extend("searches", rows["searches"], rows["searches"].select(["study"]), results)


def _store(parts: Rows, results: Storage, found: Collected) -> None:
    """Trials last: a collection cut off before them reads the same objects again."""
    point_ids = parts["trials"].select(["point_id"])
    for name in schemas.OF_TRIALS:
        if len(point_ids) or not results.exists(parquet.table_key(name)):
            parquet.extend(name, parts[name], point_ids, results)
    trials = parquet.read("trials", results)
    ours = trials.filter(pc.field("source") == "ours")
    found.new = parts["trials"].filter(_FINISHED).num_rows
    found.finished = ours.filter(_FINISHED).num_rows
    found.failed = ours.num_rows - found.finished
