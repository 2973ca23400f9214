"""The models against what the published code answers, for one-channel images and 36 classes.

``models-c1.npz`` holds two images, their labels, and for each model logits, loss and a sample of
every gradient; all parameters are those that seed 7 draws. ``init-seed1.json`` holds hashes of the
initial weights of seed 1.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet import SESConv2d, build_model

GOLDEN = Path(__file__).parent.parent / "golden"
ANSWERS = np.load(GOLDEN / "models-c1.npz")
INITIAL = json.loads((GOLDEN / "init-seed1.json").read_text())
NAMES = sorted(INITIAL)


def build(name: str, seed: int, *, plain: bool = False) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_model(name, in_channels=1, num_classes=36, plain=plain)


def sample(values: Tensor) -> Tensor:
    """Some 4,000 elements of a large tensor, from all its rows and columns."""
    step = max(1, values.numel() // 4000)
    while math.gcd(step, 2 * 3 * 7) > 1:
        step += 1
    return values.detach().flatten()[::step]


def difference(answer: Tensor, expected: np.ndarray) -> float:
    """Largest absolute difference in units of the largest expected value."""
    return float(np.abs(sample(answer).numpy() - expected).max() / np.abs(expected).max())


def use_basis(model: torch.nn.Module, basis: Tensor, *, plain: bool) -> None:
    """Replace both stages by ones with another basis and the same weights."""
    first = SESConv2d(1, 16, basis=basis, lifting=True, plain=plain)
    second = SESConv2d(16, 32, basis=basis, lifting=False, plain=plain)
    first.load_state_dict(model.stage1.state_dict())
    second.load_state_dict(model.stage2.state_dict())
    model.stage1, model.stage2 = first, second


@pytest.mark.parametrize("form", ["plain", "fast", "fast for fixed images"])
@pytest.mark.parametrize("name", NAMES)
def test_logits_loss_and_gradients_are_the_published_ones(name: str, form: str):
    plain = form == "plain"
    model = build(name, seed=7, plain=plain)
    if name == "disco":  # ours is another solution of the same problem
        use_basis(model, torch.from_numpy(ANSWERS["disco/basis"]), plain=plain)
    if name == "spatial_transform":  # drawn as zero, which would hide the view from the gradients
        view = torch.from_numpy(ANSWERS["spatial_transform/view_weight"])
        model.load_state_dict({"localise.9.weight": view}, strict=False)
    # As in training, images without a gradient let compiled loops compute a first stage.
    images = torch.from_numpy(ANSWERS["images"]).requires_grad_(form != "fast for fixed images")
    logits = model(images)
    loss = F.cross_entropy(logits, torch.from_numpy(ANSWERS["labels"]))
    loss.backward()

    gradients = [images.grad, *(parameter.grad for parameter in model.parameters())]
    assert difference(logits, ANSWERS[f"{name}/logits"]) < 1e-4
    assert float(loss.detach()) == pytest.approx(float(ANSWERS[f"{name}/loss"]), rel=1e-5)
    for number, gradient in enumerate(gradients):
        if gradient is None:
            assert (number, form) == (0, "fast for fixed images")
            continue
        # In float32 an argmax of pixel_pool's first stage flips here and there.
        tolerance = 5e-3 if (name, number) == ("pixel_pool", 1) else 1e-4
        assert difference(gradient, ANSWERS[f"{name}/grad/{number}"]) < tolerance, number


@pytest.mark.parametrize("name", NAMES)
def test_seed_1_draws_the_published_initial_weights_to_the_last_bit(name: str):
    hashes = [
        hashlib.sha256(golden_part(parameter).numpy().tobytes()).hexdigest()
        for parameter in build(name, seed=1).parameters()
    ]
    assert hashes == INITIAL[name]


def golden_part(parameter: Tensor) -> Tensor:
    """What was kept of a parameter: all of it, or the first 2,000 elements of a large one."""
    values = parameter.detach().flatten()
    return values if len(values) <= 30_000 else values[:2000]
