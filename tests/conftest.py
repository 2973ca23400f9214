from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.bars import write_bars
from lab.s3_server import CREDENTIALS, S3Server
from tune_jobs.storage import Storage


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in the STIR format that a small network learns in seconds: bars at four angles."""
    return write_bars(tmp_path_factory.mktemp("data") / "bars.npz")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    folder = tmp_path / "runs"
    folder.mkdir()
    return Storage(folder)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One SeaweedFS for the whole session; each test takes a prefix of its own."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of somebody who may use the server."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
