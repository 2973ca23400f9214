"""All input and output of objects, with retries: a local folder, or ``s3://bucket/prefix``.

An object is written whole or not at all: locally to a temporary name in the same folder, then
moved into place; on S3 by a single upload of bytes that were complete before it began. It carries
a digest (see ``seal``), which is checked whenever it is read.
"""

import contextlib
import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Self, TypeVar

import pyarrow as pa
from pyarrow import fs

from stir import archive
from tune_jobs import clock
from tune_jobs.errors import StorageError, TuneJobsError
from tune_jobs.storage import s3
from tune_jobs.storage.address import parse_address
from tune_jobs.storage.seal import DamagedError, seal, unseal
from tune_jobs.storage.silence import SilenceWatch

PATIENCE_SECONDS = 120.0  # for an S3 server that is busy, away or beyond a bad line
PROBE_SECONDS = 10.0  # the same, when a person waits for a command to start
AFTERMATH_SECONDS = 10.0  # after it gave up, in which every request is sent once only
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 5.0
READS = 3  # of an object that comes damaged: a wrong answer may be followed by a replaced object
READERS = s3.CONNECTIONS  # objects asked for at once, since a server may take long for each
BLOCK_BYTES = 8 * 2**20  # of a download, each of which is a request
Content = bytes | FileNotFoundError | DamagedError  # of an object, or why there is none
T = TypeVar("T")
# Not the global generator: trials seed that, and waits must differ between them.
_waits = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A key, its size in bytes and when it was last written (seconds since 1970)."""

    key: str
    size: int
    modified: float


class Storage:
    """Objects under one root, named by keys such as ``records/0123456789ab.json``.

    Raises TuneJobsError for a URI that is neither a folder nor ``s3://``, FileNotFoundError when
    an object is not there, DamagedError when its bytes are not those that were written,
    StorageError when the storage fails. On S3 a request that fails in passing is tried again, less
    and less often, for up to ``patience_seconds``.
    """

    def __init__(self, uri: str | Path, patience_seconds: float = PATIENCE_SECONDS) -> None:
        place = parse_address(str(uri))
        self._address = place if isinstance(place, s3.S3Address) else None
        self.uri = place.uri if isinstance(place, s3.S3Address) else str(place)
        self._root = self._address.root if self._address else self.uri
        self._patience_seconds = patience_seconds
        self._gave_up_at = -inf
        self._silence = SilenceWatch(f"Storage {self.uri}", patience_seconds)

    def __reduce__(self) -> tuple[type[Self], tuple[str, float]]:
        return type(self), (self.uri, self._patience_seconds)

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"

    @property
    def is_local(self) -> bool:
        return self._address is None

    @cached_property
    def _files(self) -> fs.FileSystem:
        return self._address.connect() if self._address else fs.LocalFileSystem()

    def require_there(self) -> None:
        """Raise TuneJobsError for a folder that does not exist, such as a misspelt one."""
        if self.is_local and not Path(self.uri).is_dir():
            raise TuneJobsError(
                f"Storage must be there to be read; there is no folder {self.uri}. "
                "`tune-jobs run STUDY --storage URI` makes one."
            )
        self.require_bucket()

    def require_bucket(self) -> None:
        """Raise TuneJobsError for a bucket that is not there; one that may not be listed passes."""
        if self._address is None:
            return
        bucket, probe = self._address.bucket, self._impatient()
        try:
            found = probe._attempt("looking", lambda: probe._files.get_file_info(bucket))
        except StorageError as error:
            if "ACCESS_DENIED" in str(error.__cause__):
                return
            raise
        if found.type == fs.FileType.NotFound:
            raise TuneJobsError(
                f"Storage must be in a bucket that is there; {self.uri} is in none, as there is no "
                f"bucket {bucket!r}. Is it misspelt?"
            )

    def _impatient(self) -> Self:
        """The same storage, for a person who waits for a command to start."""
        return type(self)(self.uri, min(PROBE_SECONDS, self._patience_seconds))

    def read(self, key: str) -> bytes:
        """An object's content, as it was given to ``write``.

        Bytes that are not those may be the line's fault, or the end of one version cut off where
        an older one ended, if it was replaced between two requests; they are asked for again.
        """
        for _ in range(READS - 1):
            with contextlib.suppress(DamagedError):
                return unseal(key, self.read_stored(key))
        return unseal(key, self.read_stored(key))

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Content]]:
        """Each key with its object's content, in the order given; READERS are asked for at once.

        What is damaged or not there comes as the error that ``read`` raises. No more than
        2 * READERS contents are held at a time.
        """
        ahead: deque[tuple[str, Future[Content]]] = deque()
        with ThreadPoolExecutor(READERS) as pool:
            for key in keys:
                ahead.append((key, pool.submit(self.read_or_error, key)))
                if len(ahead) == 2 * READERS:
                    first, content = ahead.popleft()
                    yield first, content.result()
            for key, content in ahead:
                yield key, content.result()

    def read_or_error(self, key: str) -> Content:
        """What ``read`` gives, or the error that it raises for an object that is not to be had."""
        try:
            return self.read(key)
        except (FileNotFoundError, DamagedError) as error:
            return error

    def read_stored(self, key: str) -> bytes:
        """An object's bytes as they are stored, unchecked: with its digest, damaged or not."""

        def read() -> bytes:
            with self._files.open_input_file(self._path(key)) as file:
                data = file.read()
                _require_whole(len(data), file.size())
            return data

        return self._attempt(f"reading {key}", read)

    def located(self, key: str) -> tuple[fs.FileSystem, str]:
        """Where an object lies, for readers that take of a big one only what they need."""
        return self._files, self._path(key)

    def write(self, key: str, data: bytes) -> None:
        """Put a whole object in place; an older one of that key is replaced at once."""
        sealed = seal(key, data)
        if self.is_local:
            self._attempt(f"writing {key}", lambda: self._place(key, sealed))
        else:
            self._attempt(f"writing {key}", lambda: self._put(key, pa.py_buffer(sealed)))

    def exists(self, key: str) -> bool:
        def look() -> bool:
            if self.is_local:
                return Path(self._path(key)).is_file()
            try:  # a HEAD request; get_file_info would list a folder of that name as well
                self._files.open_input_file(self._path(key)).close()
            except FileNotFoundError:
                return False
            return True

        return self._attempt(f"looking for {key}", look)

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none."""

        def delete() -> None:
            # Not there: also when an earlier attempt removed it and the answer was lost.
            with contextlib.suppress(FileNotFoundError):
                self._files.delete_file(self._path(key))

        self._attempt(f"removing {key}", delete)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below a folder such as ``records``, in the order of their keys."""
        selector = fs.FileSelector(self._path(prefix), recursive=True, allow_not_found=True)
        infos = self._attempt(f"listing {prefix}", lambda: self._files.get_file_info(selector))
        for info in sorted(infos, key=lambda info: info.path):
            if info.type == fs.FileType.File and not info.base_name.startswith("."):
                key = info.path[len(self._root) :].lstrip("/")
                yield StoredObject(key, info.size, (info.mtime_ns or 0) / 1e9)

    def upload(self, key: str, source: Path) -> None:
        """Store a file's bytes as they are under a key, without holding them in memory."""
        with pa.memory_map(str(source)) as mapped:
            content = mapped.read_buffer()
            if self.is_local:
                self._attempt(f"writing {key}", lambda: self._place(key, content))
            else:
                self._attempt(f"writing {key}", lambda: self._put(key, content))

    def download(self, key: str, target: Path) -> None:
        """Write an object's bytes, stored as they are and unchecked, to a file: all or nothing."""

        def fetch() -> None:
            with (
                archive.written(target) as temporary,
                temporary.open("wb") as file,
                self._files.open_input_file(self._path(key)) as source,
            ):
                while block := source.read(BLOCK_BYTES):
                    file.write(block)
                _require_whole(file.tell(), source.size())

        self._attempt(f"reading {key}", fetch)

    def check_writable(self) -> None:
        """Write and remove a small object; OSError in one sentence if that cannot be done."""
        probe = self._impatient()
        key = f".probe-{os.getpid()}"
        try:
            probe.write(key, b"")
            probe.delete(key)
        except StorageError as error:
            raise StorageError(
                f"Storage must be writable; {self.uri} is not ({s3.reason(error.__cause__)}). "
                "Give another folder or s3://bucket/prefix with --storage."
            ) from None

    def _path(self, key: str) -> str:
        if key and not {"", ".", ".."}.isdisjoint(key.split("/")):
            raise TuneJobsError(f"A key must lead to no place but the storage; got {key!r:.100}.")
        return f"{self._root}/{key}"

    def _place(self, key: str, data: bytes | pa.Buffer) -> None:
        with archive.written(Path(self._path(key))) as temporary:
            temporary.write_bytes(data)

    def _put(self, key: str, content: pa.Buffer) -> None:
        # Whole in one call: an exception between two would leave the first part as the object,
        # since a stream is completed when it is closed or forgotten.
        stream = self._files.open_output_stream(self._path(key))
        stream.write(content)
        stream.close()

    def _attempt(self, what: str, action: Callable[[], T]) -> T:
        """Do it, if need be again until patience ends, and then once more for what follows at once.

        All errors but a missing object's become StorageError.
        """
        if self.is_local:
            return self._repeat(what, action)
        with self._silence.request():
            return self._repeat(what, action)

    def _repeat(self, what: str, action: Callable[[], T]) -> T:
        began, attempts, longest = clock.monotonic(), 0, FIRST_WAIT_SECONDS
        while True:
            attempts += 1
            try:
                return action()
            except FileNotFoundError:
                raise
            except OSError as error:
                wait = _waits.uniform(0, longest)
                spent = clock.monotonic() - began
                passing = not self.is_local and s3.is_passing(error)
                is_given_up = began < self._gave_up_at + AFTERMATH_SECONDS
                if not passing or is_given_up or spent + wait > self._patience_seconds:
                    self._gave_up_at = clock.monotonic() if passing else self._gave_up_at
                    tries = f", asked {attempts} times in {spent:.0f} s" if attempts > 1 else ""
                    raise StorageError(
                        f"Storage {self.uri} failed at {what}{tries}: {s3.reason(error)}."
                    ) from error
            clock.sleep(wait)
            longest = min(2 * longest, LONGEST_WAIT_SECONDS)


def _require_whole(length: int, expected: int) -> None:
    if length != expected:
        raise OSError(f"AWS Error NETWORK_CONNECTION: {length} of {expected} bytes came")
