"""Read the searches of any number of storages, always whole, because they change as they run."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from analysis.collection import copies
from analysis.collection.copies import Place, keys_in
from analysis.collection.rows import Rows, rows_of_search
from tune_jobs.records.keys import Kind
from tune_jobs.records.search import SearchOutcome
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import parse_outcome, parse_samples


def read_searches(
    storages: Sequence[Storage],
    pool: ThreadPoolExecutor,
    damaged: list[str],
    strays: list[str],
) -> Iterator[Rows]:
    """The rows of each search; of one that lies in several storages, those of the first whole one.

    ``damaged`` gets a sentence for each object that cannot be used, ``strays`` the files that are
    no objects of a storage.
    """
    found: dict[str, list[Place]] = {}
    outcomes: dict[tuple[str, str | None], list[Place]] = {}  # by storage and study
    for storage in storages:
        for key, name in keys_in(storage, "searches", strays):
            if key.kind is Kind.SAMPLES:
                found.setdefault(name, []).append((storage, name))
            elif key.kind is Kind.OUTCOME:
                outcomes.setdefault((storage.uri, key.study), []).append((storage, name))

    def parse(place: Place, lines: bytes) -> Rows:
        storage, samples = place[0], parse_samples(place[1], lines)
        places = outcomes.get((storage.uri, samples[0].study), []) if samples else []
        ends = copies.parsed([[one] for one in places], _outcome, pool, damaged)
        return rows_of_search(samples, [outcome for _, outcome in ends], storage.uri)

    for _, rows in copies.parsed(list(found.values()), parse, pool, damaged):
        yield rows


def _outcome(place: Place, content: bytes) -> SearchOutcome:
    return parse_outcome(place[1], content)
