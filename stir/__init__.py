"""The datasets of STIR: images with an object of known size at a known place."""

from stir.catalogue import DATASETS
from stir.dataset import DatasetSummary, STIRDataset, load
from stir.errors import StirError
from stir.scenarios import SCALES, SCENARIOS, Scenario
from stir.unpacked import unpack

__all__ = [
    "DATASETS",
    "SCALES",
    "SCENARIOS",
    "DatasetSummary",
    "STIRDataset",
    "Scenario",
    "StirError",
    "load",
    "unpack",
]
