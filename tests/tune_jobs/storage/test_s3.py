"""Storage on a real S3 server, over a line that fails when told to."""

import os
import pickle
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from lab.faulty_proxy import FAULTS, FaultyProxy, at_random
from lab.s3_server import READER, S3Server
from tune_jobs.errors import StorageError, TuneJobsError
from tune_jobs.storage import Storage
from tune_jobs.storage.s3 import S3Address

pytestmark = pytest.mark.usefixtures("s3_keys")


@pytest.fixture
def line(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.endpoint) as proxy:
        yield proxy


def uri(endpoint: str, path: str = f"{S3Server.bucket}/runs") -> str:
    return f"s3://{path}?endpoint_override={endpoint}&scheme=http"


@pytest.fixture
def storage(line: FaultyProxy, tmp_path: Path) -> Storage:
    return Storage(uri(line.endpoint, f"{S3Server.bucket}/{tmp_path.name}"), 30)


def once(fault: str, method: str, part: str = "") -> Callable[[str, str], str | None]:
    """The first request of a method (whose path has ``part``) fails, no other."""
    hits = count()

    def choose(seen: str, path: str) -> str | None:
        return fault if seen == method and part in path and next(hits) == 0 else None

    return choose


def test_objects_are_written_read_replaced_listed_and_removed(storage: Storage):
    for key in ("records/b.json", "records/a.json", "failures/a/1.json"):
        storage.write(key, b'{"a": 1}')
    storage.write("records/a.json", b'{"a": 2}')
    assert storage.read("records/a.json") == b'{"a": 2}'
    assert [item.key for item in storage.list("records")] == ["records/a.json", "records/b.json"]
    assert [item.key for item in storage.list("failures")] == ["failures/a/1.json"]
    assert {item.size for item in storage.list("records")} == {85}
    assert list(storage.list("weights")) == []
    storage.delete("records/a.json")
    storage.delete("records/a.json")
    assert (storage.exists("records/a.json"), storage.exists("records/b.json")) == (False, True)
    assert not storage.exists("records")
    with pytest.raises(FileNotFoundError):
        storage.read("records/a.json")


def test_a_storage_may_be_a_whole_bucket_and_names_may_have_blanks(line: FaultyProxy):
    Storage(uri(line.endpoint, S3Server.bucket)).write("whole/a b.json", b"1")
    assert Storage(uri(line.endpoint, f"{S3Server.bucket}/whole")).read("a b.json") == b"1"
    Storage(uri(line.endpoint, f"{S3Server.bucket}/a%20b")).write("x", b"2")
    assert Storage(uri(line.endpoint, f"{S3Server.bucket}/a b")).read("x") == b"2"


def test_files_are_uploaded_and_downloaded_whole(storage: Storage, tmp_path: Path):
    content = os.urandom(21 * 2**20)  # three parts of an upload, three blocks of a download
    (tmp_path / "a").write_bytes(content)
    storage.upload("datasets/a.npz", tmp_path / "a")
    storage.download("datasets/a.npz", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content


def test_no_more_is_asked_than_is_needed(storage: Storage, line: FaultyProxy):
    storage.write("records/a", b"1")
    assert [method for method, _ in line.requests] == ["PUT"]
    line.requests.clear()
    assert not storage.exists("records/b")
    assert [method for method, _ in line.requests] == ["HEAD"]
    line.requests.clear()
    storage.read("records/a")
    assert [method for method, _ in line.requests] == ["HEAD", "GET"]
    line.requests.clear()
    list(storage.list("records"))
    assert len(line.requests) == 1
    assert "prefix" in line.requests[0][1]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_that_fails_in_passing_is_made_again(
    storage: Storage, line: FaultyProxy, tmp_path: Path, fault: str
):
    line.choose = once(fault, "PUT")
    storage.write("records/a", b"content" * 100)
    line.choose = once(fault, "GET")
    assert storage.read("records/a") == b"content" * 100
    line.choose = once(fault, "HEAD")
    storage.download("records/a", tmp_path / "a")
    line.choose = once(fault, "GET")
    assert [item.key for item in storage.list("records")] == ["records/a"]
    line.choose = once(fault, "HEAD")
    assert storage.exists("records/a")
    line.choose = once(fault, "DELETE")
    storage.delete("records/a")
    assert list(storage.list("records")) == []
    assert line.faults == [fault] * 6


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upload_that_breaks_leaves_the_old_object_or_none(
    line: FaultyProxy, tmp_path: Path, fault: str
):
    path = f"{S3Server.bucket}/{tmp_path.name}"
    storage = Storage(uri(line.endpoint, path), patience_seconds=0)
    content = os.urandom(21 * 2**20)
    line.choose = lambda method, path: fault if "partNumber=2" in path else None
    with pytest.raises(StorageError):
        storage.write("a", content)
    line.choose = lambda method, path: None
    assert not storage.exists("a")
    storage.write("a", b"old")
    line.choose = lambda method, path: fault if "partNumber=2" in path else None
    with pytest.raises(StorageError):
        storage.write("a", content)
    line.choose = lambda method, path: None
    assert storage.read("a") == b"old"


def test_a_third_of_the_requests_may_fail(storage: Storage, line: FaultyProxy):
    line.choose = at_random(0.33, seed=1)
    for number in range(20):
        storage.write(f"records/{number:02}", bytes([number]) * 100)
    assert [storage.read(item.key)[:1] for item in storage.list("records")] == [
        bytes([number]) for number in range(20)
    ]
    assert len(line.faults) > 10


def test_a_server_that_stays_busy_is_given_up_in_time_and_in_one_sentence(line: FaultyProxy):
    line.choose = lambda method, path: "busy"
    storage = Storage(uri(line.endpoint), patience_seconds=0.5)
    with pytest.raises(StorageError) as caught:
        storage.write("records/a", b"1")
    assert str(caught.value).startswith(f"Storage {storage.uri} failed at writing records/a, asked")
    assert str(caught.value).endswith("s: it asks for fewer requests.")
    assert 2 <= len(line.requests) <= 30


def test_what_is_final_is_not_asked_twice(
    line: FaultyProxy, monkeypatch: pytest.MonkeyPatch, s3_server: S3Server
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER)
    with pytest.raises(StorageError, match="failed at writing records/a: access is denied"):
        Storage(uri(line.endpoint)).write("records/a", b"1")
    assert len(line.requests) == 1


@pytest.mark.parametrize(
    ("bucket", "keys", "words"),
    [
        ("none", None, "there is no such bucket"),
        (S3Server.bucket, (READER, READER), "access is denied"),
        (S3Server.bucket, (READER, "wrong"), "its keys are not accepted; see AWS_ACCESS_KEY_ID"),
        (S3Server.bucket, ("nobody", "wrong"), "its keys are not accepted; see AWS_ACCESS_KEY_ID"),
    ],
)
def test_checking_says_in_one_sentence_what_is_wrong(
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    bucket: str,
    keys: tuple[str, str] | None,
    words: str,
):
    if keys:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
    with pytest.raises(StorageError) as caught:
        Storage(uri(s3_server.endpoint, f"{bucket}/runs")).check_writable()
    where = f"s3://{bucket}/runs?endpoint_override={s3_server.endpoint}&scheme=http"
    assert str(caught.value).startswith(f"Storage must be writable; {where} is not ({words}")
    assert str(caught.value).endswith("with --storage.")


def test_checking_a_server_that_is_not_there_ends_soon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tune_jobs.storage.storage.PROBE_SECONDS", 0.3)
    with pytest.raises(StorageError, match=r"is not \(it cannot be reached\)"):
        Storage(uri("127.0.0.1:9")).check_writable()


def test_checking_leaves_nothing_behind(storage: Storage):
    storage.check_writable()
    assert list(storage.list("")) == []


def test_a_storage_means_the_same_on_a_machine_with_another_environment(
    line: FaultyProxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{line.endpoint}")
    storage = Storage(f"s3://{S3Server.bucket}/travel/")
    storage.write("a", b"1")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert pickle.loads(pickle.dumps(storage)).read("a") == b"1"
    assert Storage(storage.uri).uri == storage.uri == uri(line.endpoint, "bucket/travel")


def test_credentials_in_a_uri_are_refused_and_not_repeated():
    with pytest.raises(TuneJobsError, match="no credentials") as caught:
        Storage("s3://AKIA123:topsecret@bucket/runs")
    assert "AKIA123" not in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_an_option_may_not_carry_credentials_either():
    with pytest.raises(TuneJobsError, match="got the option 'secret_key'") as caught:
        Storage("s3://bucket/runs?secret_key=topsecret")
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("bad", ["s3://", "s3:///runs", "s3://bucket/a#b"])
def test_a_uri_without_a_bucket_is_refused(bad: str):
    with pytest.raises(TuneJobsError, match="must be s3://bucket/prefix"):
        Storage(bad)


def test_a_uri_is_read_back_as_the_same_address():
    address = S3Address.parse("s3://b/a/c d/?region=eu-west-1&endpoint_override=h:1&scheme=http")
    assert address == S3Address(
        bucket="b", prefix="a/c d", endpoint="h:1", scheme="http", region="eu-west-1"
    )
    assert S3Address.parse(address.uri) == address
    assert S3Address.parse("s3://b").uri == "s3://b"
