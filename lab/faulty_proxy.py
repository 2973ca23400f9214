"""A proxy before an S3 server that lets some of the requests fail, or falsifies their answers."""

import contextlib
import http.client
import random
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
PATIENCE_SECONDS = 30.0  # for the server's answer, before the client's connection is cut
FAULTS = ("busy", "cut before", "cut within", "cut after")
LIES = ("short", "foreign", "flipped", "page")
PAGE = b"<!DOCTYPE html><html><body>Please log in to use this network.</body></html>"
DROPPED = {"connection", "expect", "keep-alive", "content-length"}


class FaultyProxy:
    """Pass HTTP requests on to ``endpoint`` (host and port), except for those that fail.

    ``choose(method, path)`` names the fault of a request, or None: ``busy`` answers 503 without
    asking the server, ``cut before`` closes the connection, ``cut within`` sends the server half
    of the body, ``cut after`` lets the server do it and withholds the answer. LIES answer a GET
    with status 200 and the wrong body: ``short`` half of it, ``foreign`` that of a path read before
    (so much of it as fits), ``flipped`` one with a single bit changed, ``page`` a login page.
    ``requests`` lists what came, ``faults`` what was done to it. Without ``choose`` nothing fails.
    Every request is held back for ``delay_seconds``.
    """

    def __init__(
        self,
        endpoint: str,
        choose: Callable[[str, str], str | None] = lambda method, path: None,
        *,
        delay_seconds: float = 0.0,
    ) -> None:
        self.requests: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.choose = choose
        self.delay_seconds = delay_seconds
        self.bodies: dict[str, bytes] = {}  # of GETs that a lie may answer another one with
        self.rng = random.Random(0)
        self._upstream = endpoint
        self._server = _Server((HOST, 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def endpoint(self) -> str:
        """Host and port."""
        return f"{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._upstream, timeout=PATIENCE_SECONDS)


def at_random(share: float, seed: int) -> Callable[[str, str], str | None]:
    """A choice for FaultyProxy: any fault, in ``share`` (0..1) of the requests."""
    rng, lock = random.Random(seed), threading.Lock()

    def choose(method: str, path: str) -> str | None:
        with lock:
            return rng.choice(FAULTS) if rng.random() < share else None

    return choose


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: FaultyProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, _Server)
        self._proxy = self.server.proxy
        self._upstream = self._proxy.connect()

    def finish(self) -> None:
        self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are listed, not printed."""

    def _pass_on(self) -> None:
        proxy = self._proxy
        proxy.requests.append((self.command, self.path))
        body = self._body()
        time.sleep(proxy.delay_seconds)
        fault = proxy.choose(self.command, self.path)
        if fault:
            proxy.faults.append(fault)
        try:
            self._answer(fault, body)
        except (OSError, http.client.HTTPException):
            self._upstream.close()
            self._cut()

    def _body(self) -> bytes:
        """The request's body as it was sent, with the sizes of its chunks if it has any."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while not parts or len(parts[-1]) > len(b"\r\n"):  # the last chunk is empty
            parts.append(self.rfile.readline())
            parts.append(self.rfile.read(int(parts[-1], 16) + len(b"\r\n")))
        return b"".join(parts)

    def _answer(self, fault: str | None, body: bytes) -> None:
        if fault == "busy":
            self._send(503, [], b"<Error><Code>SlowDown</Code></Error>")
        elif fault == "cut before":
            self._cut()
        elif fault == "cut within":
            self._ask(body[: len(body) // 2], len(body))
            self._upstream.close()
            self._cut()
        else:
            self._ask(body, len(body))
            answer = self._upstream.getresponse()
            content = answer.read()
            if fault == "cut after":
                self._cut()
            else:
                if self.command == "GET" and answer.status < 300:
                    content = self._lie(fault, content)
                self._send(answer.status, answer.getheaders(), content)

    def _lie(self, fault: str | None, content: bytes) -> bytes:
        """The body to answer with, for a lie; the true one otherwise."""
        bodies = self._proxy.bodies
        bodies[self.path] = content
        if fault == "short":
            return content[: len(content) // 2]
        if fault == "foreign":
            others = (body for path, body in bodies.items() if path != self.path)
            return next(others, content)[: len(content)]
        if fault == "flipped":
            place = self._proxy.rng.randrange(8 * len(content))
            changed = content[place // 8] ^ 1 << place % 8
            return content[: place // 8] + bytes([changed]) + content[place // 8 + 1 :]
        return PAGE if fault == "page" else content

    def _ask(self, body: bytes, length: int) -> None:
        self._upstream.putrequest(
            self.command, self.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self.headers.items():
            if name.lower() not in DROPPED:
                self._upstream.putheader(name, value)
        if "Transfer-Encoding" not in self.headers:
            self._upstream.putheader("Content-Length", str(length))
        self._upstream.endheaders(body)

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in DROPPED | {"transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on
