"""Searches of any number of storages, read whole: they change as they go on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from analysis.collection import copies
from analysis.collection.copies import Place, keys_in
from analysis.collection.rows import Rows, rows_of_search
from tune_jobs.records.keys import outcome_key, outcomes_folder, samples_key
from tune_jobs.records.search import Sample, SearchOutcome, samples_from_lines
from tune_jobs.storage import Storage


def read_searches(
    storages: Sequence[Storage], pool: ThreadPoolExecutor, damaged: list[str]
) -> Iterator[Rows]:
    """The rows of each search; of one that lies in several storages, those of the first whole one.

    ``damaged`` gets a sentence for each object that cannot be used.
    """
    found: dict[str, list[Place]] = {}
    for storage in storages:
        for key in keys_in(storage, "searches", ending="/samples.jsonl"):
            found.setdefault(key, []).append((storage, key))
    for (storage, _), samples in copies.parsed(list(found.values()), _samples, pool, damaged):
        if samples:
            keys = keys_in(storage, outcomes_folder(samples[0].study))
            ends = copies.parsed([[(storage, key)] for key in keys], _outcome, pool, damaged)
            yield rows_of_search(samples, [outcome for _, outcome in ends], storage.uri)


def _samples(place: Place, lines: bytes) -> tuple[Sample, ...]:
    samples = samples_from_lines(lines)
    for sample in samples:
        copies.check_key(place, samples_key(sample.study))
    return samples


def _outcome(place: Place, content: bytes) -> SearchOutcome:
    outcome = SearchOutcome.from_json(content)
    copies.check_key(place, outcome_key(outcome.study, outcome.point_id))
    return outcome
