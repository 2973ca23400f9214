"""Where the token of a cluster goes, and who may read it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import ray

from tune_jobs.cluster.address import is_loopback
from tune_jobs.cluster.head import Head
from tune_jobs.cluster.token import read_token

TOKEN = "0123456789abcdef"


class Dashboard(BaseHTTPRequestHandler):
    """Answers with its version, whoever is meant, and keeps what it was sent."""

    seen: ClassVar[list[tuple[str, str | None]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        version = {"version": "4", "ray_version": ray.__version__, "ray_commit": ""}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(version).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(host: str) -> Iterator[tuple[type[Dashboard], int]]:
    answers = type("Answers", (Dashboard,), {"seen": []})
    with HTTPServer((host, 0), answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield answers, server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_a_loopback_address_is_asked_directly_whatever_proxy_is_set(
    variable: str, host: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    for name in ("no_proxy", "NO_PROXY", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with serving("127.0.0.1") as (proxy, proxy_port), serving(host) as (dashboard, port):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy_port}")
        Head(f"http://{host}:{port}")
        assert proxy.seen == []
        assert set(dashboard.seen) == {("/api/version", f"Bearer {TOKEN}")}


def test_another_address_goes_by_way_of_the_proxy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    with serving("127.0.0.1") as (proxy, port):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        Head("http://cluster.example:8265")
        assert {path for path, _ in proxy.seen} == {"http://cluster.example:8265/api/version"}


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        *((f"http://{host}:8265", True) for host in ("127.0.0.1", "LocalHost", "127.255.0.9")),
        *((f"http://{host}:8265", True) for host in ("[::1]", "[::ffff:127.0.0.1]", "0.0.0.0")),
        *((f"https://{host}", True) for host in ("localhost.", "ray.localhost")),
        *((f"http://{host}:8265", False) for host in ("10.0.0.1", "[fe80::1]", "localhost.com")),
        *((f"http://{host}:8265", False) for host in ("127.0.0.1.example", "notlocalhost")),
    ],
)
def test_loopback_is_known_by_what_the_host_is(url: str, is_here: bool):
    assert is_loopback(url) is is_here


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640, 0o604])
@pytest.mark.parametrize("variable", ["HOME", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_that_others_could_read_is_closed_to_them(
    mode: int, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text(f"{TOKEN}\n")
    path.chmod(mode)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv(variable, str(tmp_path if variable == "HOME" else path))
    assert read_token() == TOKEN
    assert path.stat().st_mode & 0o777 == 0o600
