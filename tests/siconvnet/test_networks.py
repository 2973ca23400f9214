"""The trunk of all models, and the two models that wrap it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet import Conv2d, build_model
from siconvnet.networks import PyramidEnsemble, SpatialTransformer, TwoStageNetwork, pyramid


def network(plain: bool = False) -> TwoStageNetwork:
    torch.manual_seed(0)
    stages = (Conv2d(1, 4, 3, plain=plain), Conv2d(4, 8, 3, plain=plain))
    return TwoStageNetwork(*stages, features=8, num_classes=5).double()


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_logits_are_a_linear_function_of_the_largest_values_of_the_last_maps():
    model = network()
    x = images(3, 1, 16, 14)
    first, second = model.feature_maps(x)
    assert torch.equal(first, F.relu(model.stage1(x)))
    torch.testing.assert_close(model(x), model.lin(second.amax(dim=(2, 3))))


def test_a_channel_that_answers_negatively_everywhere_counts_as_zero():
    model = network()
    model.stage2.bias.data.fill_(-100)
    logits = model(images(2, 1, 12, 12))
    torch.testing.assert_close(logits, model.lin.bias.expand(2, 5))


def test_the_pyramid_halves_a_blurred_image():
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    x[0, 0, 8, 8] = 256
    blurred_row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=torch.float64)
    pairs = torch.stack([blurred_row[0] + blurred_row[1], blurred_row[2:4].sum(), blurred_row[4]])
    expected = torch.zeros(8, 8, dtype=torch.float64)
    expected[3:6, 3:6] = torch.outer(pairs, pairs) / 4
    levels = pyramid(x, 2)
    assert torch.equal(levels[0], x)
    torch.testing.assert_close(levels[1][0, 0], expected)


def test_the_pyramid_reflects_the_image_at_its_border():
    x = images(1, 2, 12, 8)
    levels = pyramid(x, 3)
    assert [level.shape[2:] for level in levels] == [(12, 8), (6, 4), (3, 2)]
    flipped = pyramid(x.flip(3), 3)
    torch.testing.assert_close(flipped[2], levels[2].flip(3))
    flat = pyramid(torch.full_like(x, 0.5), 3)
    torch.testing.assert_close(flat[2], torch.full_like(flat[2], 0.5))


def test_an_ensemble_averages_the_logits_of_three_sizes():
    model = PyramidEnsemble(network())
    x = images(2, 1, 64, 64)
    expected = sum(model.network(level) for level in pyramid(x, 3)) / 3
    torch.testing.assert_close(model(x), expected)


def test_a_new_spatial_transformer_looks_at_the_image_as_it_is():
    model = SpatialTransformer(network(), 1).double()
    x = images(2, 1, 64, 64)
    torch.testing.assert_close(model.warp(x), x, rtol=0, atol=1e-12)


def test_a_spatial_transformer_can_look_at_a_part_of_the_image():
    model = SpatialTransformer(network(), 1).double()
    model.localise[-1].bias.data = torch.tensor([0.5, 0, 0, 0, 0.5, 0], dtype=torch.float64)
    x = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    x[:, :, 16:48, 16:48] = 1
    torch.testing.assert_close(model.warp(x)[:, :, 1:-1, 1:-1], torch.ones(1, 1, 62, 62).double())


@pytest.mark.parametrize("name", ["ensemble", "spatial_transform"])
def test_models_whose_maps_do_not_lie_over_the_image_say_so(name: str):
    model = build_model(name, in_channels=1, num_classes=5)
    with pytest.raises(ValueError, match=r"model\.network\.feature_maps"):
        model.feature_maps(torch.zeros(1, 1, 64, 64))
