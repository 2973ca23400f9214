import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from lab.bars import write_bars
from lab.hold import Hold
from lab.s3_server import CREDENTIALS, S3Server
from siconvnet.models import registry
from tune_jobs.storage import Storage

# The same examples in every run, so that a failure comes from a change; every night
# `--hypothesis-profile search` draws others, more of them where a test does not say how many.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False, max_examples=300, print_blob=True)
settings.load_profile("repeatable")

APART = [Path(__file__).parent / name for name in ("cluster", "gpu", "wheel")]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders of tests that need minutes or a GPU, unless they are asked for by path."""
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    folders = [folder for folder in APART if folder in (collection_path, *collection_path.parents)]
    missed = [folder for folder in folders if not any(folder in (a, *a.parents) for a in asked)]
    return True if missed else None


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in the STIR format that a small network learns in seconds: bars at four angles."""
    return write_bars(tmp_path_factory.mktemp("data") / "bars.npz")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    folder = tmp_path / "runs"
    folder.mkdir()
    return Storage(folder)


@pytest.fixture
def only_known_models() -> Iterator[None]:
    """The models that a test registers are forgotten after it."""
    known = dict(registry._models)
    yield
    registry._models.clear()
    registry._models.update(known)


@pytest.fixture
def hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only_known_models: None
) -> Iterator[Hold]:
    """Holds trials of the model ``held``, at most for a test; the module is in its folder."""
    hold = Hold(tmp_path / "hold")
    hold.bring_model(tmp_path)
    for name, value in hold.variables.items():
        monkeypatch.setenv(name, value)
    yield hold
    hold.release()
    sys.modules.pop("held", None)


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
