from pathlib import Path

import numpy as np
import pytest

from stir import archive, schema
from stir.build import build

METADATA = {
    "title": "Small Set",
    "description": "random pixels",
    "author": "nobody",
    "license": "CC0",
    "version": "1",
    "date": "today",
}


@pytest.fixture(scope="session")
def emoji_path(tmp_path_factory) -> Path:
    return build("emoji", out_dir=tmp_path_factory.mktemp("emoji"))


@pytest.fixture(scope="session", params=[1, 3], ids=["grey", "colour"])
def small_arrays(request) -> schema.Arrays:
    """Two classes, three instances, every pixel of every image drawn at random."""
    rng = np.random.RandomState(0)
    arrays = schema.blank(2, 3, request.param)
    arrays["imgs"][:] = rng.randint(0, 256, arrays["imgs"].shape)
    room = 65 - arrays["scls"]
    arrays["psts"][:] = (rng.random_sample(arrays["psts"].shape) * room[..., None]).astype(int)
    arrays["lbldata"] = np.array(["first", "second"])
    arrays["metadata"] = np.array(list(METADATA.items()))
    return arrays


@pytest.fixture(scope="session")
def small_path(small_arrays, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.npz"
    archive.write(path, small_arrays)
    return path


@pytest.fixture(scope="session")
def shapes_path(tmp_path_factory) -> Path:
    return build("shapes", out_dir=tmp_path_factory.mktemp("shapes"))
