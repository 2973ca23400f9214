"""For all tests and doctests: one thread each, and caches that are not the user's."""

import os

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
os.environ["STIR_SILENCE_SECONDS"] = "inf"  # however busy this machine is
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # whatever machine this is


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
