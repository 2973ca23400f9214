"""A model that travels with a study, and whose trials last for as long as a ``Hold`` wants."""

import os
import time
from pathlib import Path

from torch import Tensor, nn

from siconvnet import build_model, register_model

FREE_BATCHES = 40  # that each process trains at full speed before it is held


class Held(nn.Module):
    """The standard network; a batch takes the seconds in the file that LAB_HOLD names."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.network = build_model("standard", in_channels=in_channels, num_classes=num_classes)
        self._batches = 0

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self._batches += 1
            began = time.monotonic()
            while self._batches > FREE_BATCHES and time.monotonic() - began < _held_seconds():
                time.sleep(0.02)
        return self.network(images)


def _held_seconds() -> float:
    try:
        return float(Path(os.environ["LAB_HOLD"]).read_text())
    except (KeyError, FileNotFoundError):
        return 0.0


def build(*, in_channels: int, num_classes: int, **options: object) -> nn.Module:
    return Held(in_channels, num_classes)


register_model("held", build)
