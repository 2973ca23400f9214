import pytest
import torch
from torch import Tensor, nn

from siconvnet import SESConv2d, SiConv2d
from siconvnet.bases import steerable_basis
from siconvnet.testing import (
    assert_scale_equivariant,
    assert_shift_equivariant,
    scale_equivariance_errors,
    smooth_objects,
)


class Louder(nn.Module):
    """Multiplies by a number; another one where an image is mostly not black."""

    def __init__(self, small: float, big: float) -> None:
        super().__init__()
        self.small, self.big = small, big

    def forward(self, x: Tensor) -> Tensor:
        crowded = (x.abs() > 1e-3).double().mean((1, 2, 3), keepdim=True) > 0.15
        return x * torch.where(crowded, self.big, self.small).to(x)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("layer", [nn.Identity(), nn.ReLU(), nn.Conv2d(3, 8, 1)])
def test_layers_that_look_at_one_pixel_are_scale_equivariant(layer: nn.Module):
    assert_scale_equivariant(layer, in_channels=3)


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_a_plain_convolution_is_not_scale_equivariant(kernel_size: int):
    with pytest.raises(AssertionError, match=r"1\.5 times as big.*Conv2d.*channel \d"):
        assert_scale_equivariant(nn.Conv2d(1, 8, kernel_size))


def test_enlarged_kernels_answer_an_enlarged_object():
    layer = SiConv2d(1, 8, num_scales=5, kernel_size=7)
    assert_scale_equivariant(layer, scales=layer.sides)


def test_enlarged_kernels_named_by_the_wrong_sizes_do_not():
    layer = SiConv2d(1, 8, num_scales=5, kernel_size=7)
    with pytest.raises(AssertionError, match="from scale 7 to 11"):
        assert_scale_equivariant(layer, scales=[7, 11, 15, 19, 23])


def test_kernels_of_one_size_do_not_answer_an_enlarged_object():
    layer = SiConv2d(1, 8, num_scales=3, kernel_size=7)
    one_size = nn.Sequential(nn.Conv2d(1, 8, 7), nn.Unflatten(1, (8, 1)))
    alike = nn.Sequential(one_size, Repeated(3))
    assert_scale_equivariant(layer, scales=layer.sides)
    with pytest.raises(AssertionError, match="from scale 7 to 9"):
        assert_scale_equivariant(alike, scales=layer.sides)


class Repeated(nn.Module):
    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, -1, self.times, -1, -1)


def test_disco_filters_are_scale_equivariant_between_all_their_scales():
    layer = SESConv2d(1, 8, basis=steerable_basis("disco"), lifting=True)
    scales = (1.0, 1.26, 1.59, 2.0)
    assert_scale_equivariant(layer, scales=scales, tolerance=0.005)
    errors = scale_equivariance_errors(layer, scales=scales)
    assert [scale for _, scale in errors] == [1.0, 1.26, 1.59, 1.0, 1.26, 1.0]


def test_the_error_is_the_squared_share_of_the_difference():
    errors = scale_equivariance_errors(Louder(1.0, 1.25), factors=[2.0], object_size=20)
    assert float(errors[2.0, None]) == pytest.approx(0.2**2, rel=0.1)


def test_a_big_bias_hides_nothing():
    layer = nn.Conv2d(1, 8, 7)
    assert layer.bias is not None
    before = scale_equivariance_errors(layer)[2.0, None]
    nn.init.constant_(layer.bias, 1000.0)
    torch.testing.assert_close(
        scale_equivariance_errors(layer)[2.0, None], before, rtol=0.01, atol=0
    )


def test_a_layer_that_answers_nothing_fails():
    layer = nn.Conv2d(1, 2, 3)
    nn.init.zeros_(layer.weight)
    with pytest.raises(AssertionError, match="must answer to an object"):
        assert_scale_equivariant(layer)


def test_a_channel_without_an_answer_agrees_with_itself():
    layer = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        layer.weight[0] = 0
    assert_scale_equivariant(layer)


def test_a_layer_that_answers_nan_fails():
    layer = nn.Conv2d(1, 2, 1)
    nn.init.constant_(layer.weight, float("nan"))
    with pytest.raises(AssertionError, match="error is nan"):
        assert_scale_equivariant(layer)


def test_training_mode_is_left_as_it_was():
    layer = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU().eval())
    assert_scale_equivariant(layer)
    assert [module.training for module in layer.modules()] == [True, True, True, False]
    assert int(layer[1].num_batches_tracked) == 0


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 8, 7), SiConv2d(1, 8, num_scales=3, kernel_size=7)])
def test_stride_one_convolutions_are_shift_equivariant(layer: nn.Module):
    assert_shift_equivariant(layer)


def test_a_stride_is_not_shift_equivariant():
    with pytest.raises(AssertionError, match=r"moved by \(0, 1\) pixels"):
        assert_shift_equivariant(nn.Conv2d(1, 8, 7, stride=2))


def test_an_answer_with_a_scale_axis_needs_scales():
    layer = SiConv2d(1, 8, num_scales=3, kernel_size=7)
    with pytest.raises(
        ValueError,
        match=r"\(N, O, H, W\); got \(8, 8, 3, 58, 58\)\. Say with scales= .* scales=layer.sides\.",
    ):
        assert_scale_equivariant(layer)
    with pytest.raises(ValueError, match=r"\(N, O, S, H, W\) with scales; got"):
        assert_scale_equivariant(nn.ReLU(), scales=[1, 2])
    with pytest.raises(ValueError, match=r"each of the 3 entries.*got 2"):
        assert_scale_equivariant(layer, scales=[7, 9])


def test_factors_without_room_in_the_image_are_refused():
    with pytest.raises(ValueError, match=r"object_size \* factor <= 48.*got object_size 40"):
        assert_scale_equivariant(nn.ReLU(), object_size=40)


def test_objects_differ_by_seed_only():
    assert torch.equal(smooth_objects(10, seed=1), smooth_objects(10, seed=1))
    assert not torch.equal(smooth_objects(10, seed=1), smooth_objects(10, seed=2))
