"""Run with ``pytest`` once the package is installed."""

import torch
from own_model import RADII, LogPolar

from siconvnet import MODELS, build_model


def ring(radius: float) -> torch.Tensor:
    """An image (1, 1, 64, 64) of a ring around its middle."""
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    return torch.exp(-((torch.hypot(x, y) - radius) ** 2) / 4)[None, None]


def test_an_object_twice_as_large_is_the_same_picture_moved_along_the_radius():
    brightest = [int(LogPolar()(ring(radius)).mean(dim=-1).argmax()) for radius in (8, 16)]
    step = torch.log(torch.tensor(45 / 1.5)) / (RADII - 1)
    assert abs((brightest[1] - brightest[0]) - float(torch.log(torch.tensor(2.0)) / step)) <= 1


def test_the_model_is_known_by_its_name_and_returns_a_logit_for_each_class():
    assert "log-polar" in MODELS
    torch.manual_seed(1)
    model = build_model("log-polar", in_channels=1, num_classes=5)
    images = torch.rand(2, 1, 64, 64)
    logits = model(images)
    assert logits.shape == (2, 5)
    assert not torch.equal(logits[0], logits[1])
