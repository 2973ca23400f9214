"""What people write for a storage: made regular, or refused in one sentence."""

import os
from pathlib import Path

import pytest

from analysis.cli import main as analysis
from tune_jobs.cli import main
from tune_jobs.errors import TuneJobsError
from tune_jobs.storage import Storage
from tune_jobs.storage.address import parse_address
from tune_jobs.storage.datasets import node_cache

REFUSED = [
    "",
    " ",
    "\t",
    "a\0b",
    "runs\n",
    "\x1b[2Jruns",
    "s3:bucket/x",
    "S3:bucket",
    "s3:/bucket/x",
    "s3a://bucket/x",
    "gs:bucket",
    "file:runs",
    "http:runs",
    "s3://",
    "s3:///runs",
    "s3://[::1",
    "s3://[::1]/x",
    "s3://bu cket/x",
    "s3://bucket:9000/x",
    "s3://bucket/../x",
    "s3://bucket/%2e%2e/x",
    "s3://bucket/a%00b",
    "s3://bucket/a%0ab",
    "s3://bucket/a#b",
    "s3://bucket/\udcff",
    "s3://bucket/x?scheme=ftp",
    "s3://bucket/x?endpoint_override=ftp://host",
    "s3://bucket/x?endpoint_override=://host",
    "s3://bucket/x?endpoint_override=host:port",
    "s3://bucket/x?endpoint_override=host:99999",
    "s3://bucket/x?endpoint_override=user:topsecret@host:9000",
    "s3://bucket/x?endpoint_override=http://user:topsecret@host:9000",
    "s3://bucket/x?endpoint_override=host/path",
    "s3://bucket/x?endpoint_override=[::1",
    "~nobody-of-that-name/runs",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_storage_is_refused_in_one_sentence_and_nothing_is_made(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TuneJobsError):
        parse_address(text)  # not merely a folder that is not there
    for run in (
        lambda: main(["status", "--storage", text]),
        lambda: main(["plan", "smoke", "--storage", text]),
        lambda: analysis(["collect", "--storage", text, "--out", str(tmp_path / "out")]),
    ):
        assert run() == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert err.endswith(".\n")
        assert "topsecret" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("s3://bucket/p//q", "s3://bucket/p/q"),
        ("s3://bucket//p/./q///", "s3://bucket/p/q"),
        ("S3://bucket/p", "s3://bucket/p"),
        ("s3://bucket/a%20b", "s3://bucket/a%20b"),
        (
            "s3://b/x?endpoint_override=http://host:9000/",
            "s3://b/x?endpoint_override=host:9000&scheme=http",
        ),
        (
            "s3://b/x?endpoint_override=[::1]:9000&scheme=http",
            "s3://b/x?endpoint_override=%5B::1%5D:9000&scheme=http",
        ),
    ],
)
def test_a_place_on_s3_has_one_uri_however_it_is_written(
    text: str, uri: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    assert Storage(text).uri == Storage(uri).uri == uri


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("localhost:9000", "localhost:9000&scheme=https"),
        ("http://localhost:9000/", "localhost:9000&scheme=http"),
        ("HTTPS://minio.example", "minio.example&scheme=https"),
    ],
)
def test_an_endpoint_may_come_from_the_environment_with_or_without_a_scheme(
    given: str, shown: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", given)
    assert Storage("s3://b/x").uri == f"s3://b/x?endpoint_override={shown}"


@pytest.mark.parametrize("given", ["http://", "host:port", "http://u:topsecret@h", "http://h/p"])
def test_an_endpoint_of_the_environment_that_is_none_is_refused(
    given: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", given)
    with pytest.raises(TuneJobsError, match="The endpoint of an S3 server must be") as caught:
        Storage("s3://b/x")
    assert "topsecret" not in str(caught.value)


def test_a_tilde_is_the_home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Storage("~/runs").uri == str(tmp_path / "runs")
    assert Storage(Path("~")).uri == str(tmp_path)


def test_a_folder_with_a_colon_is_reached_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert Storage("./s3:bucket").uri == str(tmp_path / "s3:bucket")
    assert Storage("run:1").uri == str(tmp_path / "run:1")


def test_an_empty_variable_for_the_storage_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNE_JOBS_STORAGE", "")
    assert main(["status"]) == 2
    assert f"there is no folder {tmp_path / 'runs'}" in capsys.readouterr().err


def test_without_a_home_the_cache_has_to_be_named(monkeypatch: pytest.MonkeyPatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for name in ("XDG_CACHE_HOME", "TUNE_JOBS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TuneJobsError, match="set TUNE_JOBS_CACHE to one"):
        node_cache()
    monkeypatch.setenv("TUNE_JOBS_CACHE", os.sep + "cache")
    assert node_cache() == Path("/cache")


def test_a_proxy_that_refuses_is_one_sentence(monkeypatch: pytest.MonkeyPatch, s3_keys: None):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://me:topsecret@127.0.0.1:9")
    monkeypatch.setattr("tune_jobs.storage.storage.PROBE_SECONDS", 0.3)
    uri = "s3://b/x?endpoint_override=127.0.0.1:9&scheme=http"
    with pytest.raises(OSError, match=r"^Storage must be writable; .*cannot be reached") as caught:
        Storage(uri).check_writable()
    assert "topsecret" not in str(caught.value)
