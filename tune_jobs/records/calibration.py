"""How long models take on one kind of machine: what ``tune-jobs calibrate`` measured. No torch."""

import re
from dataclasses import dataclass
from typing import Self

from pydantic import with_config

from tune_jobs.records.schema import STRICT, from_json, to_json

CALIBRATION_SCHEMA = "stir-calibration/1"


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSeconds:
    """Seconds per image, in training and in inference."""

    train: float
    valid: float


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Times of models on machines with one processor, number of threads and form of the layers.

    Where ``device`` is no CPU, ``processor`` is the GPU.
    """

    processor: str
    threads: int
    backend: str
    torch_version: str
    models: dict[str, ModelSeconds]
    measured_at: str
    device: str = "cpu"

    @property
    def name(self) -> str:
        """What distinguishes this kind of machine from others, as a part of a key."""
        threads = self.threads if self.device == "cpu" else ""  # beside a GPU they count for little
        text = f"{self.processor} {self.backend} {threads}"
        return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[-64:].strip("-")

    def to_json(self) -> bytes:
        return to_json(self, CALIBRATION_SCHEMA)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote; raises RecordError if anything is amiss."""
        return from_json(cls, data, CALIBRATION_SCHEMA)
