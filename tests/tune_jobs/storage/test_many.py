"""Many objects at once: enough requests for a slow server, and no more than memory is meant for."""

import threading
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest

from lab.faulty_proxy import FaultyProxy
from lab.s3_server import S3Server
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.storage import READERS, DamagedError, Storage
from tune_jobs.storage.claim import new_claim, write_claim

KEYS = [f"records/{number:012x}.json" for number in range(400)]


class Watched(Storage):
    """A storage that knows how many of its objects have been asked for."""

    def __init__(self, uri: str | Path, together: int = 1) -> None:
        super().__init__(uri)
        self.asked = 0
        self._lock, self._together = threading.Lock(), threading.Barrier(together, timeout=60)

    def read_stored(self, key: str) -> bytes:
        with self._lock:
            self.asked += 1
        self._together.wait()
        return super().read_stored(key)


def put(storage: Storage, keys: Iterable[str]) -> None:
    for key in keys:
        storage.write(key, b'{"key": "' + key.encode() + b'"}')


def test_sixty_four_requests_are_under_way_at_once(storage: Storage):
    put(storage, KEYS[: 2 * READERS])
    watched = Watched(storage.uri, together=64)  # which all wait until so many are there
    assert [key for key, _ in watched.read_many(KEYS[: 2 * READERS])] == KEYS[: 2 * READERS]


def test_claims_are_asked_for_at_once_too(storage: Storage):
    """Those of a driver that was killed are many, and each would be waited for."""
    points = [f"{number:012x}" for number in range(READERS)]
    for point_id in points:
        write_claim(storage, point_id, new_claim("driver", (1, 0), None))
    inventory = take_inventory(Watched(storage.uri, together=READERS))
    assert list(inventory.claims) == points


def test_no_more_is_read_ahead_than_memory_is_meant_for(storage: Storage):
    put(storage, KEYS)
    watched = Watched(storage.uri)
    contents = watched.read_many(KEYS)
    taken = list(islice(contents, 10))
    assert [key for key, _ in taken] == KEYS[:10]
    assert watched.asked <= 10 + 2 * READERS
    contents.close()


def test_each_content_comes_with_its_key_in_order_and_an_error_for_what_cannot_be_read(
    storage: Storage,
):
    put(storage, KEYS[:6])
    storage.delete(KEYS[1])
    Path(storage.uri, KEYS[2]).write_bytes(b"<html></html>")
    Path(storage.uri, KEYS[3]).write_bytes(Path(storage.uri, KEYS[4]).read_bytes())
    found = dict(storage.read_many(KEYS[:6]))
    assert list(found) == KEYS[:6]
    assert isinstance(found[KEYS[1]], FileNotFoundError)
    assert isinstance(found[KEYS[2]], DamagedError)
    assert isinstance(found[KEYS[3]], DamagedError)
    for key in (KEYS[0], KEYS[4], KEYS[5]):
        assert found[key] == b'{"key": "' + key.encode() + b'"}'


@pytest.mark.usefixtures("s3_keys")
def test_an_object_on_a_server_costs_two_requests_however_many_there_are(
    s3_server: S3Server, tmp_path: Path
):
    with FaultyProxy(s3_server.endpoint) as line:
        where = f"s3://{S3Server.bucket}/{tmp_path.name}"
        storage = Storage(f"{where}?endpoint_override={line.endpoint}&scheme=http")
        put(storage, KEYS[:70])
        line.requests.clear()
        assert len(dict(storage.read_many(KEYS[:70]))) == 70
        methods = [method for method, _ in line.requests]
    assert (methods.count("HEAD"), methods.count("GET"), len(methods)) == (70, 70, 140)
