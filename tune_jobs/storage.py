"""One place for all object input and output: a local folder, or ``s3://bucket/prefix``.

An object is written whole or not at all: locally to a temporary name in the same folder, then
moved into place; on S3 by a single upload of bytes that were complete before it began.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pyarrow import fs

from stir import archive
from tune_jobs.errors import TuneJobsError


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A key, its size in bytes and when it was last written (seconds since 1970)."""

    key: str
    size: int
    modified: float


class Storage:
    """Objects under one root, named by keys such as ``records/0123456789ab.json``.

    Raises TuneJobsError for a URI that is neither a folder nor ``s3://``, OSError when the storage
    fails, FileNotFoundError when an object is not there.
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = str(uri)
        if self.uri.startswith("s3://"):
            self._files, self._root = fs.FileSystem.from_uri(self.uri)
        elif "://" in self.uri:
            raise TuneJobsError(
                f"Storage must be a folder or s3://bucket/prefix; got {self.uri!r}."
            )
        else:
            self.uri = str(Path(self.uri).absolute())
            self._files, self._root = fs.LocalFileSystem(), self.uri

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.uri,)

    @property
    def is_local(self) -> bool:
        return isinstance(self._files, fs.LocalFileSystem)

    def read(self, key: str) -> bytes:
        with self._files.open_input_stream(self._path(key)) as stream:
            return stream.read()

    def write(self, key: str, data: bytes) -> None:
        """Put a whole object in place; an older one of that key is replaced at once."""
        if self.is_local:
            with archive.written(Path(self._path(key))) as temporary:
                temporary.write_bytes(data)
        else:
            with self._files.open_output_stream(self._path(key)) as stream:
                stream.write(data)

    def exists(self, key: str) -> bool:
        return self._files.get_file_info(self._path(key)).type == fs.FileType.File

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none."""
        if self.exists(key):
            self._files.delete_file(self._path(key))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below a folder such as ``records``, in the order of their keys."""
        selector = fs.FileSelector(self._path(prefix), recursive=True, allow_not_found=True)
        infos = self._files.get_file_info(selector)
        for info in sorted(infos, key=lambda info: info.path):
            if info.type == fs.FileType.File and not info.base_name.startswith("."):
                key = info.path[len(self._root) :].lstrip("/")
                yield StoredObject(key, info.size, (info.mtime_ns or 0) / 1e9)

    def upload(self, key: str, source: Path) -> None:
        """Store a file's bytes under a key."""
        self.write(key, source.read_bytes())

    def download(self, key: str, target: Path) -> None:
        """Write an object's bytes to a local file, whole or not at all."""
        with archive.written(target) as temporary:
            temporary.write_bytes(self.read(key))

    def check_writable(self) -> None:
        """Write and remove a small object; OSError in one sentence if that cannot be done."""
        key = f".probe-{os.getpid()}"
        try:
            self.write(key, b"")
            self.delete(key)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                f"Storage must be writable; {self.uri} is not ({reason}). "
                "Give another folder or s3://bucket/prefix with --storage."
            ) from None

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"
