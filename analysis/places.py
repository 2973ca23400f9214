"""Objects to read, of any number of storages."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from analysis.errors import AnalysisError
from tune_jobs.record import RecordError
from tune_jobs.storage import Storage

READERS = 8  # threads, for storages that answer slowly

Place = tuple[Storage, str]  # an object: where, and its key


def opened(uri: str) -> Storage:
    """A storage that is there, as far as that can be told without asking a server."""
    storage = Storage(uri)
    if storage.is_local and not Path(storage.uri).is_dir():
        raise AnalysisError(
            f"A storage must be a folder that is there, or s3://bucket/prefix; got {uri}."
        )
    return storage


def keys_in(storage: Storage, folder: str, *, ending: str = ".json") -> list[str]:
    return [item.key for item in storage.list(folder) if item.key.endswith(ending)]


def contents(
    places: Sequence[Place], pool: ThreadPoolExecutor
) -> Iterator[tuple[Place, bytes | RecordError]]:
    """Each object's bytes, or why it cannot be read; all are read ahead, in order."""
    yield from zip(places, pool.map(_content, places), strict=True)


def named(place: Place, error: RecordError) -> str:
    """A sentence for an object that could not be used."""
    storage, key = place
    return f"{storage.uri}/{key}: {error}"


def _content(place: Place) -> bytes | RecordError:
    storage, key = place
    try:
        return storage.read(key)
    except OSError as error:
        return RecordError(f"An object must be readable; this one is not: {error}.")
