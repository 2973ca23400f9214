"""Run with ``pytest`` once the package is installed."""

from pathlib import Path

import numpy as np

import stir
from stir.build import build


def test_the_dataset_is_built_by_its_name_and_every_letter_fills_its_box(tmp_path: Path):
    dataset = stir.STIRDataset(build("letters", out_dir=tmp_path))
    assert (dataset.name, dataset.num_classes) == ("letters", 10)
    images, _ = dataset.select("test", [40], shuffle=False)
    sides, corners = dataset.get_latents("test", [40], shuffle=False)
    for image, side, (x, y) in zip(images[:, 0], sides, corners, strict=True):
        rows, columns = np.nonzero(image)
        assert (rows.min() >= y, columns.min() >= x) == (True, True)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == side
