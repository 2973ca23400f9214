"""The dataset and the point that trials are run on here."""

from pathlib import Path

import pytest

import stir
from stir import STIRDataset
from tune_jobs.point import GridPoint


@pytest.fixture(scope="session")
def dataset(bars: Path) -> STIRDataset:
    return stir.load(bars)


@pytest.fixture(scope="session")
def point() -> GridPoint:
    return GridPoint(
        model="standard",
        dataset="bars",
        scenario=2,
        kernel_size=3,
        interpolation=None,
        lr=0.003,
        seed=1,
    )
