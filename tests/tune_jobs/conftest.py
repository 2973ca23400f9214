from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_jobs.plan.opened import OpenedStudy, open_study
from tune_jobs.study.file import parse_study


def content_of(dataset: Path | str, **search: Any) -> dict[str, Any]:
    """A study file: learning rates, good and useless, and seeds are drawn."""
    return {
        "name": "wide",
        "axes": {
            "model": "standard",
            "dataset": str(dataset),
            "scenario": 2,
            "kernel_size": 3,
            "interpolation": None,
            "lr": {"choice": [3e-3, 1e-7]},
            "seed": {"randint": [1, 1000]},
        },
        "recipe": {"max_epochs": 6, "patience": 6, "batch_size": 4},
        "search": {"trials": 6, "rng": 16, "asha": {"grace_epochs": 1, "reduction_factor": 2}}
        | search,
    }


@pytest.fixture
def opened(bars: Path) -> Callable[..., OpenedStudy]:
    """Opens a search with keys of ``search`` in place of the usual ones."""

    def opened(**search: Any) -> OpenedStudy:
        return open_study(parse_study(content_of(bars, **search), where="x.yaml"), None)

    return opened


@pytest.fixture
def study_file(bars: Path, tmp_path: Path) -> Callable[..., str]:
    """Writes a search with keys of ``search`` in place of the usual ones."""

    def write(**search: Any) -> str:
        path = tmp_path / "wide.yaml"
        path.write_text(yaml.safe_dump(content_of(bars, **search)))
        return str(path)

    return write
