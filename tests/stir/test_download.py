import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stir import StirError, cli, download, load

RECORD_PATH = "/api/records/6578038"
ENDLESS_BYTES = 10**9  # after which a test has failed


class Zenodo:
    """A loopback server that plays the record's metadata and files, and can misbehave."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.checksums = {name: hashlib.md5(data).hexdigest() for name, data in files.items()}
        self.requests: list[str] = []
        self.broken_answers = 0  # how many file answers stop half-way
        self.link_host: str | None = None
        self.record: bytes | None = None  # instead of the true one
        self.stated_sizes: dict[str, int] = {}  # instead of the true ones
        self.endless = ""  # the path whose answer goes on for as long as somebody reads it
        self.sent_bytes = 0  # of it
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def metadata(self) -> bytes:
        if self.record is not None:
            return self.record
        host = self.link_host or self.url
        entries = [
            {
                "key": name,
                "size": self.stated_sizes.get(name, len(data)),
                "checksum": f"md5:{self.checksums[name]}",
                "links": {"self": f"{host}/api/records/6578038/files/{name}/content"},
            }
            for name, data in self.files.items()
        ]
        return json.dumps({"id": 6578038, "files": entries}).encode()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        zenodo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                zenodo.requests.append(self.path)
                parts = self.path.split("/")
                if self.path == zenodo.endless:
                    self.answer_without_end()
                elif self.path == RECORD_PATH:
                    self.answer(zenodo.metadata())
                elif parts[-1] == "content" and parts[-2] in zenodo.files:
                    data, half = zenodo.files[parts[-2]], zenodo.broken_answers > 0
                    zenodo.broken_answers -= half
                    self.answer(data, sent=len(data) // 2 if half else None)
                else:
                    self.send_error(404)

            def answer(self, data: bytes, sent: int | None = None) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[:sent])

            def answer_without_end(self) -> None:
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):  # the client has hung up
                    while zenodo.sent_bytes < ENDLESS_BYTES:
                        self.wfile.write(b" " * 2**16)
                        zenodo.sent_bytes += 2**16

            def log_message(self, format: str, *args) -> None:
                pass

        return Handler


@pytest.fixture
def zenodo(emoji_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)
    server = Zenodo({"emoji.npz": emoji_path.read_bytes(), "mnist.npz": b"other bytes"})
    yield server
    server.server.shutdown()
    server.server.server_close()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def fetch(zenodo, folder, name="emoji"):
    return download.download(name, out_dir=folder, base_url=zenodo.url)


def test_a_good_download_is_the_published_file_under_its_own_name(zenodo, tmp_path, emoji_path):
    path = fetch(zenodo, tmp_path)
    assert path.read_bytes() == emoji_path.read_bytes()
    assert names(tmp_path) == ["emoji@published.npz", "emoji@published.npz.md5"]
    assert load("emoji@published", tmp_path).num_classes == 36


def test_a_second_call_makes_no_request(zenodo, tmp_path):
    fetch(zenodo, tmp_path)
    before = list(zenodo.requests)
    fetch(zenodo, tmp_path)
    assert zenodo.requests == before


def test_a_connection_that_breaks_half_way_is_tried_again(zenodo, tmp_path, emoji_path):
    zenodo.broken_answers = 2
    assert fetch(zenodo, tmp_path).read_bytes() == emoji_path.read_bytes()
    assert len([path for path in zenodo.requests if path.endswith("content")]) == 3


def test_a_server_that_keeps_breaking_leaves_nothing_and_a_later_call_succeeds(zenodo, tmp_path):
    zenodo.broken_answers = 3
    with pytest.raises(StirError, match="content was tried 3 times"):
        fetch(zenodo, tmp_path)
    assert names(tmp_path) == []
    assert fetch(zenodo, tmp_path).exists()


def test_a_wrong_checksum_is_refused_and_nothing_is_left(zenodo, tmp_path):
    zenodo.checksums["emoji.npz"] = "0" * 32
    with pytest.raises(StirError, match=r"checksum 0{32}; .* has [0-9a-f]{32} and was thrown away"):
        fetch(zenodo, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("path", [RECORD_PATH, f"{RECORD_PATH}/files/emoji.npz/content"])
def test_an_answer_without_end_is_given_up_at_once_and_leaves_nothing(zenodo, tmp_path, path):
    zenodo.endless = path
    with pytest.raises(StirError, match=rf"{path} may send at most [\d,]+ bytes; it sends more"):
        fetch(zenodo, tmp_path)
    assert names(tmp_path) == []
    assert zenodo.sent_bytes < ENDLESS_BYTES
    assert zenodo.requests.count(path) == 1


def test_a_file_that_is_longer_than_its_record_says_is_refused(zenodo, tmp_path, emoji_path):
    zenodo.stated_sizes["emoji.npz"] = emoji_path.stat().st_size - 1
    with pytest.raises(StirError, match="it sends more, and what came was thrown away"):
        fetch(zenodo, tmp_path)
    assert names(tmp_path) == []


def test_a_file_of_the_users_own_is_never_overwritten(zenodo, tmp_path):
    (tmp_path / "mnist.npz").write_bytes(b"built here")
    with pytest.raises(StirError, match="must not overwrite another file"):
        fetch(zenodo, tmp_path, "mnist")
    assert (tmp_path / "mnist.npz").read_bytes() == b"built here"


def test_a_published_file_put_there_by_hand_is_taken_without_fetching_it(zenodo, tmp_path):
    (tmp_path / "mnist.npz").write_bytes(b"other bytes")
    fetch(zenodo, tmp_path, "mnist")
    assert zenodo.requests == [RECORD_PATH]


def test_a_file_spoilt_after_its_download_is_noticed(zenodo, tmp_path):
    path = fetch(zenodo, tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StirError, match="is not the published one"):
        fetch(zenodo, tmp_path)


def test_a_mirror_serves_files_though_its_record_names_zenodo(zenodo, tmp_path):
    zenodo.link_host = "https://zenodo.invalid"
    assert fetch(zenodo, tmp_path).exists()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"<html>sign in</html>", "its answer is no JSON"),
        (b'{"files": []}', "lists no such file"),
        (b'{"hits": 3}', "does not: KeyError"),
        (b'{"files": [{"key": "emoji.npz", "size": "many", "checksum": "md5:"}]}', "does not"),
        (
            b'{"files": [{"key": "emoji.npz", "size": 1, "checksum": "sha1:ab", "links": '
            b'{"self": "x"}}]}',
            "checksums are md5",
        ),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(zenodo, tmp_path, record, words):
    zenodo.record = record
    with pytest.raises(StirError, match=words):
        fetch(zenodo, tmp_path)
    assert names(tmp_path) == []


def test_a_server_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)
    with pytest.raises(
        StirError,
        match=r":9/api/records/6578038 was tried 3 times: ConnectionError, Connection refused\.$",
    ):
        download.download("emoji", out_dir=tmp_path, base_url="http://127.0.0.1:9")


def test_the_command_fetches_and_prints_the_terms(zenodo, tmp_path, capsys):
    argv = ["download", "emoji", "--base-url", f"{zenodo.url}/", "--out", str(tmp_path)]
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    assert "emoji@published: CC BY 4.0, modified from Font Awesome" in out
    assert "fingerprint" in out


def test_the_command_for_all_stops_at_a_refusal_with_status_2(zenodo, tmp_path, capsys):
    zenodo.checksums["emoji.npz"] = "0" * 32
    argv = ["download", "all", "--base-url", zenodo.url, "--out", str(tmp_path)]
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("stir: The record gives the md5 checksum")
    assert err.count("\n") == 1


def test_a_name_that_is_not_published_is_refused(tmp_path):
    with pytest.raises(StirError, match="must be one of emoji, mnist, trafficsign, aerial"):
        download.download("shapes", out_dir=tmp_path)
