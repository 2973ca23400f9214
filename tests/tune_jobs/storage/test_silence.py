"""A storage that does not answer: how long it is asked, and what is said meanwhile."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from tune_jobs.errors import StorageError
from tune_jobs.storage import Storage, silence


class Busy(BaseHTTPRequestHandler):
    """Answers every request with one status."""

    status: ClassVar[int]
    requests: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def busy(status: int) -> Iterator[tuple[str, list[str]]]:
    answers = type("Answers", (Busy,), {"status": status, "requests": []})
    with HTTPServer(("127.0.0.1", 0), answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield uri_of(server.server_address[1]), answers.requests
        finally:
            server.shutdown()
            thread.join()


def uri_of(port: int) -> str:
    return f"s3://bucket/x?endpoint_override=127.0.0.1:{port}&scheme=http&region=x"


@pytest.mark.parametrize("status", [503, 500, 429])
def test_after_an_outage_that_outlasted_its_patience_a_storage_is_asked_once_a_request(
    status: int, s3_keys: None
):
    with busy(status) as (uri, requests):
        storage = Storage(uri, patience_seconds=0.3)
        with pytest.raises(StorageError, match=r"asked \d+ times"):
            storage.read("records/a.json")
        assert len(requests) > 1
        for action in (storage.delete, storage.exists, storage.read):
            requests.clear()
            with pytest.raises(StorageError):
                action("records/a.json")
            assert len(requests) <= 2  # one for each of the calls that an action makes


@pytest.mark.parametrize("kind", ["busy", "mute", "refusing"])
def test_a_silent_storage_is_named_once_until_it_answers(
    kind: str,
    s3_keys: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(silence, "POLL_SECONDS", 0.01)
    monkeypatch.setattr("tune_jobs.storage.s3.ANSWER_SECONDS", 0.5)
    caplog.set_level(logging.WARNING, "tune_jobs")
    with busy(503) as (busy_uri, _), socket.create_server(("127.0.0.1", 0)) as mute:
        uri = {
            "busy": busy_uri,
            "mute": uri_of(mute.getsockname()[1]),
            "refusing": uri_of(9),
        }[kind]
        storage = Storage(uri, patience_seconds=1.0)
        with pytest.raises(StorageError):
            storage.read("records/a.json")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"Storage {storage.uri} has not answered for ")
    assert line.endswith("it is asked again for up to 1 s.")


def test_a_storage_that_answers_is_not_named(storage: Storage, caplog: pytest.LogCaptureFixture):
    storage.write("records/a.json", b"{}")
    assert storage.read("records/a.json") == b"{}"
    assert caplog.records == []
