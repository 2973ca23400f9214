"""Download the published files of the benchmark from their Zenodo record and verify them."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pooch
import requests

from stir import archive
from stir.errors import StirError
from stir.terminal import Progress, near, silent

T = TypeVar("T")

RECORD = "6578038"  # doi:10.5281/zenodo.6578038
BASE_URL = "https://zenodo.org"
FILES = {  # name -> the dataset it becomes here; what `emoji` alone means is built, not fetched
    "emoji": "emoji@published",
    "mnist": "mnist",
    "trafficsign": "trafficsign",
    "aerial": "aerial",
}
ATTEMPTS = 3
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 30
BLOCK_BYTES = 1 << 18
MOST_RECORD_BYTES = 1_000_000  # of the record's metadata, which has 10 kB


@dataclass(frozen=True, slots=True)
class Published:
    """What the record says of one of its files."""

    url: str
    size_bytes: int
    md5: str  # hex digits


def download(
    name: str, *, out_dir: str | Path, base_url: str = BASE_URL, progress: Progress = silent
) -> Path:
    """Fetch a published file and return its path; it is verified before it is put in place.

    A file that was fetched before is verified again, by the ``.md5`` file beside it, and makes
    no request. An interrupted download is started afresh and leaves nothing behind.
    """
    if name not in FILES:
        raise StirError(
            f"A dataset to download must be one of {', '.join(FILES)}; got {name!r}."
            f"{near(name, FILES)}"
        )
    path = Path(out_dir) / f"{FILES[name]}.npz"
    note = path.with_name(f"{path.name}.md5")
    if path.exists() and note.exists() and note.read_text().split()[:1] == [_md5(path)]:
        return path
    published = look_up(f"{name}.npz", base_url.rstrip("/"))
    if path.exists() and _md5(path) != published.md5:
        raise StirError(
            f"A download must not overwrite another file; {path} is not the published one (built "
            "here, or damaged). Move it away, or give another folder."
        )
    if not path.exists():
        archive.require_writable(path.parent)
        with archive.written(path) as temporary:
            _fetch(published.url, temporary, published.size_bytes, progress)
            _verify(temporary, published)
    with archive.written(note) as temporary:
        temporary.write_text(f"{published.md5}  {path.name}\n")
    return path


def look_up(file_name: str, base_url: str) -> Published:
    """Address, size and checksum of a file, from the record's own metadata."""
    url = f"{base_url}/api/records/{RECORD}"
    record = _metadata(url)
    try:
        entry = next(entry for entry in record["files"] if entry["key"] == file_name)
        algorithm, _, digits = entry["checksum"].partition(":")
        link, size = str(entry["links"]["self"]), int(entry["size"])
    except StopIteration as error:
        raise StirError(f"The record must hold {file_name}; {url} lists no such file.") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StirError(
            f"A Zenodo record lists files with key, size, checksum and link; {url} does not: "
            f"{error!r}."
        ) from error
    if algorithm != "md5" or len(digits) != 32:
        raise StirError(f"Zenodo's checksums are md5; {url} has {entry['checksum']!r}.")
    if not link.startswith(f"{base_url}/"):  # a mirror's copy of the record names zenodo.org
        link = f"{url}/files/{quote(file_name)}/content"
    return Published(link, size, digits.lower())


def _metadata(url: str) -> dict:
    def ask() -> dict:
        content = b"".join(_blocks(url, MOST_RECORD_BYTES))
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise requests.exceptions.InvalidJSONError from error

    return _persistently(ask, url)


def _fetch(url: str, path: Path, size_bytes: int, progress: Progress) -> None:
    def ask() -> None:
        with path.open("wb") as file:
            for block in _blocks(url, size_bytes):
                file.write(block)
                progress(file.tell(), size_bytes)

    _persistently(ask, url)


def _blocks(url: str, most_bytes: int) -> Iterator[bytes]:
    """An answer piece by piece; StirError as soon as it has more than so many bytes."""
    done = 0
    with requests.get(url, timeout=TIMEOUT_SECONDS, stream=True) as answer:
        answer.raise_for_status()
        for block in answer.iter_content(BLOCK_BYTES):
            done += len(block)
            if done > most_bytes:
                raise StirError(
                    f"{url} may send at most {most_bytes:,} bytes; it sends more, and what came "
                    "was thrown away."
                )
            yield block


def _persistently(ask: Callable[[], T], url: str) -> T:
    """Try again after a connection that fails, not after a response with a client error."""
    attempt = 1
    while True:
        try:
            return ask()
        except requests.RequestException as error:
            refused = error.response is not None and error.response.status_code < 500
            if attempt == ATTEMPTS or refused:
                times = "once" if attempt == 1 else f"{attempt} times"
                raise StirError(
                    f"The published files come from a server that must answer; {url} was tried "
                    f"{times}: {_reason(error)}."
                ) from error
            attempt += 1
            time.sleep(PAUSE_SECONDS)


def _reason(error: requests.RequestException) -> str:
    if error.response is not None and not error.response.ok:
        return f"it says {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return "its answer is no JSON"
    cause: BaseException = error  # of a connection: what the system says, below three libraries
    while isinstance(inner := getattr(cause, "reason", None) or cause.__context__, Exception):
        cause = inner
    system = cause.strerror if isinstance(cause, OSError) else None
    return f"{type(error).__name__}, {system or error}"


def _verify(path: Path, published: Published) -> None:
    size = path.stat().st_size
    if size != published.size_bytes:
        raise StirError(
            f"The record gives {published.size_bytes} bytes; {published.url} sent {size}, which "
            "were thrown away."
        )
    found = _md5(path)
    if found != published.md5:
        raise StirError(
            f"The record gives the md5 checksum {published.md5}; what {published.url} sent has "
            f"{found} and was thrown away."
        )


def _md5(path: Path) -> str:
    return pooch.file_hash(str(path), alg="md5")
