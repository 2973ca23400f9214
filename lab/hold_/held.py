"""A model that travels with a study, and whose trials last for as long as a test holds them."""

import os
import time
from pathlib import Path

from torch import Tensor, nn

from siconvnet import build_model, register_model

BATCH_SECONDS = 1.0


class Held(nn.Module):
    """The standard network; a batch of training takes a second while the file LAB_HOLD is there."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.network = build_model("standard", in_channels=in_channels, num_classes=num_classes)

    def forward(self, images: Tensor) -> Tensor:
        file = os.environ.get("LAB_HOLD")
        if self.training and file and Path(file).exists():
            time.sleep(BATCH_SECONDS)
        return self.network(images)


def build(*, in_channels: int, num_classes: int, **options: object) -> nn.Module:
    return Held(in_channels, num_classes)


register_model("held", build)
