"""Read objects of which several storages may hold copies."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from analysis.errors import AnalysisError
from tune_jobs.errors import StorageError
from tune_jobs.records.keys import Key
from tune_jobs.records.schema import RecordError
from tune_jobs.storage import READERS, Storage
from tune_jobs.storage.reader import list_folder, parse_or_error

Place = tuple[Storage, str]  # an object: where, and its key
Copies = Sequence[Place]  # of one object, the first to be tried first
T = TypeVar("T")


def opened(uri: str) -> Storage:
    """A storage that is there, as far as can be known without asking a server."""
    storage = Storage(uri)
    if storage.is_local and not Path(storage.uri).is_dir():
        raise AnalysisError(
            f"A storage must be a folder that is there, or s3://bucket/prefix; got {uri}."
        )
    return storage


def keys_in(storage: Storage, folder: str, strays: list[str]) -> list[tuple[Key, str]]:
    """Every object of a folder, its key taken apart and as it is.

    Files that are no objects of a storage are named in ``strays``.
    """
    listing = list_folder(storage, folder)
    strays.extend(f"{storage.uri}/{name}" for name in listing.strays)
    return [(key, item.key) for key, item in listing.objects]


def parsed(
    wanted: Iterable[Copies],
    parse: Callable[[Place, bytes], T],
    pool: ThreadPoolExecutor,
    damaged: list[str],
    *,
    ahead: int = 2 * READERS,
    read: Callable[[int], None] = lambda count: None,
) -> Iterator[tuple[Place, T]]:
    """What ``parse`` makes of each object: of the first of its copies that is whole, and which.

    So many first copies are read ahead, while others are parsed. ``damaged`` gets a sentence for
    each copy that was tried and cannot be used; ``read`` is called with 1 for each object.
    """
    for copies, first in _read_ahead(wanted, pool, ahead):
        for place in copies:
            content = first if place is copies[0] else _content(place)
            made = parse_or_error(parse, place, content)
            if not isinstance(made, FileNotFoundError | RecordError):
                yield place, made
                break
            storage, key = place
            damaged.append(f"{storage.uri}/{key}: {made}")
        read(1)


def _read_ahead(
    wanted: Iterable[Copies], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[Copies, bytes | RecordError]]:
    """Each object's copies and what the first of them holds."""
    begun: deque[tuple[Copies, Future[bytes | RecordError]]] = deque()
    for copies in wanted:
        begun.append((copies, pool.submit(_content, copies[0])))
        if len(begun) == ahead:
            oldest, content = begun.popleft()
            yield oldest, content.result()
    for copies, content in begun:
        yield copies, content.result()


def _content(place: Place) -> bytes | RecordError:
    storage, key = place
    try:
        content = storage.read_or_error(key)
    except StorageError as error:
        content = error
    if isinstance(content, OSError):
        return RecordError(f"An object must be readable; this one is not: {content}.")
    return content
