"""The metadata service of a spot machine: what it can ask about itself, on loopback or in a lab."""

import http.client
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from tune_jobs.cluster.preempt import DISABLED_VARIABLE, ENDPOINT_VARIABLE, NOTICE_PATH, TOKEN_PATH


class MetadataServer(ThreadingHTTPServer):
    """Answers as Amazon's version 2 does: nothing without the token that it has given.

    ``notice`` is what it says about an interruption, nothing at first. ``asked`` lists the
    methods of requests and the statuses of answers.
    """

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Answers)
        self.notice, self.token = "", "first"
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_address[1]}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process that is to ask this service."""
        return {ENDPOINT_VARIABLE: self.endpoint, DISABLED_VARIABLE: "false"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Answers(BaseHTTPRequestHandler):
    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, MetadataServer)
        self._service = self.server

    def do_PUT(self) -> None:
        known = self.path == TOKEN_PATH and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._answer(http.client.OK if known else http.client.NOT_FOUND, self._service.token)

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] != self._service.token:
            self._answer(http.client.UNAUTHORIZED, "")
        elif self.path == NOTICE_PATH and self._service.notice:
            self._answer(http.client.OK, self._service.notice)
        else:
            self._answer(http.client.NOT_FOUND, "")

    def log_message(self, format: str, *args: object) -> None:
        """Requests are listed, not printed."""

    def _answer(self, status: int, text: str) -> None:
        self._service.asked.append(f"{self.command} {int(status)}")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


def _serve(host: str, port: str, notice: str) -> None:
    """Answer for ever; the notice is what the file says, once it is there."""
    with MetadataServer(host, int(port)) as server:
        while True:
            threading.Event().wait(0.5)
            server.notice = Path(notice).read_text() if Path(notice).exists() else ""


if __name__ == "__main__":
    _serve(*sys.argv[1:])
