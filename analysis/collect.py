"""Records of any number of storages -> the Parquet tables of one results folder."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from analysis import places, schemas, tables
from analysis.evaluations import collect_evaluations, new_evaluations
from analysis.places import Place, keys_in
from analysis.rows import Rows, rows_of_failure, rows_of_record, rows_of_study
from analysis.searches import read_searches
from tune_jobs.record import FailureRecord, RecordError, TrialRecord, point_id_of
from tune_jobs.storage import Storage
from tune_jobs.study_record import StudyRecord

_BATCH = 250  # objects read ahead at a time, which bounds the memory

_FINISHED = pc.field("status") == "finished"


@dataclass(slots=True)
class Collected:
    """What a collection found; ``damaged`` names each object that could not be used, and why."""

    new: int = 0  # finished trials that were not in the tables before
    finished: int = 0  # in the tables now
    failed: int = 0  # points that have failures and no result
    evaluations: int = 0  # new ones
    repeated: int = 0  # points that lie in more than one storage; the first was taken
    damaged: list[str] = field(default_factory=list)


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
    storages_read = [places.opened(uri) for uri in storages]
    known = tables.read_if_any("trials", results)
    wanted = _wanted(storages_read, set(known.filter(_FINISHED)["point_id"].to_pylist()), found)
    evaluated = new_evaluations(storages_read, results)
    done, total = 0, len(wanted) + len(evaluated)

    def read(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    with ThreadPoolExecutor(places.READERS) as pool:
        rows = _trials(wanted, pool, found, read)
        _store_studies(storages_read, pool, results, found)
        _store(rows, results, found)
        found.evaluations = collect_evaluations(evaluated, results, pool, found.damaged, read)
    return found


def _trials(
    wanted: Sequence[Place],
    pool: ThreadPoolExecutor,
    found: Collected,
    read: Callable[[int], None],
) -> Rows:
    """The rows of records and failures; packed a batch at a time, which bounds the memory."""
    parts = {name: [schemas.SCHEMAS[name].empty_table()] for name in schemas.OF_TRIALS}
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        good = list(_good(batch, pool, found))
        for name, tables_read in parts.items():
            empty = schemas.SCHEMAS[name].empty_table()
            joined = pa.concat_tables([empty, *(rows[name] for rows in good)])
            tables_read.append(joined.combine_chunks())
        read(len(batch))
    return {name: pa.concat_tables(part) for name, part in parts.items()}


def _wanted(storages: Iterable[Storage], finished: set[str], found: Collected) -> list[Place]:
    """The objects to read: new records, and the last failure of each point without a record."""
    records: dict[str, Place] = {}
    failures: dict[str, tuple[int, Place]] = {}
    for storage in storages:
        for key in keys_in(storage, "records"):
            found.repeated += point_id_of(key) in records
            records.setdefault(point_id_of(key), (storage, key))
        for key in keys_in(storage, "failures"):
            attempt = key.rpartition("/")[2].removesuffix(".json")
            ranked = (int(attempt) if attempt.isdecimal() else 0, (storage, key))
            if ranked[0] >= failures.get(point_id_of(key), ranked)[0]:
                failures[point_id_of(key)] = ranked
    new = [place for point_id, place in records.items() if point_id not in finished]
    done = finished | set(records)
    return new + [place for point_id, (_, place) in failures.items() if point_id not in done]


def _good(batch: Sequence[Place], pool: ThreadPoolExecutor, found: Collected) -> Iterable[Rows]:
    for place, content in places.contents(batch, pool):
        try:
            yield _rows(place[1], content)
        except RecordError as error:
            found.damaged.append(places.named(place, error))


def _rows(key: str, content: bytes | RecordError) -> Rows:
    if isinstance(content, RecordError):
        raise content
    if key.startswith("studies/"):
        return rows_of_study(StudyRecord.from_json(content))
    if key.startswith("records/"):
        record = TrialRecord.from_json(content)
        rows = rows_of_record(record)
    else:
        record = FailureRecord.from_json(content)
        rows = rows_of_failure(record)
    if record.point_id != point_id_of(key):
        raise RecordError(f"An object must lie under its point_id; this is {record.point_id}.")
    return rows


def _store_studies(
    storages: Sequence[Storage], pool: ThreadPoolExecutor, results: Storage, found: Collected
) -> None:
    """Read every phase and search again: unlike records, they change as a study goes on.

    Of a study that lies in several storages, the phases of the first that has them are taken.
    """
    phases: dict[str, Place] = {}
    for storage in storages:
        for key in keys_in(storage, "studies"):
            phases.setdefault(key, (storage, key))
    good = list(_good(list(phases.values()), pool, found))
    good += read_searches(storages, pool, found.damaged)
    for name in schemas.OF_STUDIES:
        empty = schemas.SCHEMAS[name].empty_table()
        rows = pa.concat_tables([empty, *(one[name] for one in good if name in one)])
        tables.extend(name, rows, rows["study"].unique(), results, by="study")


def _store(parts: Rows, results: Storage, found: Collected) -> None:
    """Trials last: a collection cut off before them reads the same objects again."""
    point_ids = parts["trials"]["point_id"].combine_chunks()
    for name in schemas.OF_TRIALS:
        if len(point_ids) or not results.exists(tables.table_key(name)):
            tables.extend(name, parts[name], point_ids, results)
    trials = tables.read("trials", results)
    ours = trials.filter(pc.field("source") == "ours")
    found.new = parts["trials"].filter(_FINISHED).num_rows
    found.finished = ours.filter(_FINISHED).num_rows
    found.failed = ours.num_rows - found.finished
