"""Defects to plant in the protocol, each of which the simulation must find."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from unittest import mock

from tune_jobs.storage import Storage, seal
from tune_jobs.storage.claim import Claim


@contextmanager
def _claims_ignored() -> Iterator[None]:
    """No claim counts, however fresh."""
    with mock.patch.object(Claim, "is_fresh", property(lambda claim: False)):
        yield


@contextmanager
def _record_first() -> Iterator[None]:
    """Weights are written when their record is there."""
    write = Storage.write
    held: dict[str, tuple[str, bytes]] = {}  # by point_id

    def swapped(storage: Storage, key: str, data: bytes) -> None:
        folder, _, name = key.partition("/")
        if folder == "weights":
            held[name.partition("-")[0]] = key, data
            return
        write(storage, key, data)
        if folder == "records":
            write(storage, *held[name.removesuffix(".json")])

    with mock.patch.object(Storage, "write", swapped):
        yield


@contextmanager
def _digests_alike() -> Iterator[None]:
    """Whatever an object holds, its digest is right."""
    with mock.patch.object(seal, "_digest", return_value=b"0" * 64):
        yield


DEFECTS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    "none": nullcontext,
    "claims ignored": _claims_ignored,
    "digests alike": _digests_alike,
    "record first": _record_first,
}
