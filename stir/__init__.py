"""The datasets of STIR: images with an object of known size at a known place."""

from stir.catalogue import DATASETS, register_dataset
from stir.dataset import DatasetSummary, STIRDataset, load, unpack
from stir.errors import StirError
from stir.scenarios import SCALES, SCENARIOS, Scenario

__all__ = [
    "DATASETS",
    "SCALES",
    "SCENARIOS",
    "DatasetSummary",
    "STIRDataset",
    "Scenario",
    "StirError",
    "load",
    "register_dataset",
    "unpack",
]
