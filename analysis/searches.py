"""Searches of any number of storages, read whole: they change as they go on."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from analysis import places
from analysis.places import Place, keys_in
from analysis.rows import Rows, rows_of_search
from tune_jobs.record import RecordError
from tune_jobs.search_record import SearchOutcome, outcomes_folder, samples_from_lines
from tune_jobs.storage import Storage

T = TypeVar("T")


def read_searches(
    storages: Sequence[Storage], pool: ThreadPoolExecutor, damaged: list[str]
) -> Iterator[Rows]:
    """The rows of each search; of one that lies in several storages, those of the first.

    ``damaged`` gets a sentence for each object that cannot be used.
    """
    seen: set[str] = set()
    for storage in storages:
        for key in keys_in(storage, "searches", ending="/samples.jsonl"):
            if key not in seen:
                seen.add(key)
                yield from _rows((storage, key), pool, damaged)


def _rows(lines: Place, pool: ThreadPoolExecutor, damaged: list[str]) -> Iterator[Rows]:
    storage, _ = lines
    for samples in _read([lines], samples_from_lines, pool, damaged):
        if samples:
            keys = keys_in(storage, outcomes_folder(samples[0].study))
            ends = [(storage, key) for key in keys]
            yield rows_of_search(samples, list(_read(ends, SearchOutcome.from_json, pool, damaged)))


def _read(
    wanted: Sequence[Place],
    parse: Callable[[bytes], T],
    pool: ThreadPoolExecutor,
    damaged: list[str],
) -> Iterator[T]:
    for place, content in places.contents(wanted, pool):
        try:
            if isinstance(content, RecordError):
                raise content
            yield parse(content)
        except RecordError as error:
            damaged.append(places.named(place, error))
