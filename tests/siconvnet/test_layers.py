"""What SiConv2d and the poolings compute, in their plain form and by default."""

import pytest
import torch
from torch.nn import functional as F

from siconvnet import GlobalMaxPool, PooledSiConv2d, ScalePool, SiConv2d
from siconvnet.layers import POOL_MODES
from siconvnet.resample import INTERPOLATIONS

MODES = pytest.mark.parametrize("plain", [True, False], ids=["plain", "fast"])


def layer(seed: int = 0, **options) -> SiConv2d:
    torch.manual_seed(seed)
    return SiConv2d(**{"in_channels": 2, "out_channels": 3, "kernel_size": 5, **options}).double()


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@MODES
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_each_scale_convolves_with_the_enlarged_kernel(interpolation: str, plain: bool):
    conv = layer(num_scales=3, interpolation=interpolation, plain=plain)
    x = images(2, 2, 12, 14)
    kernel = F.interpolate(conv.weight, size=(9, 9), mode=interpolation) * (5 / 9) ** 2
    expected = F.conv2d(x, kernel, conv.bias)
    torch.testing.assert_close(conv(x)[:, :, 2, 2:-2, 2:-2], expected, rtol=0, atol=1e-12)


@MODES
def test_the_border_of_a_large_scale_is_exactly_zero(plain: bool):
    answer = layer(num_scales=3, plain=plain)(images(1, 2, 12, 12))
    border = answer.clone()
    border[:, :, 2, 2:-2, 2:-2] = 0
    assert torch.equal(border[:, :, 2], torch.zeros_like(border[:, :, 2]))
    assert answer[:, :, 0, 0].ne(0).all()


@MODES
def test_with_padding_the_images_are_surrounded_by_zeros(plain: bool):
    x = images(1, 2, 11, 9)
    padded = layer(num_scales=2, padding=True, plain=plain)
    wide = F.pad(x, (3, 3, 3, 3))
    kernel = F.interpolate(padded.weight, size=(7, 7), mode="bicubic") * (5 / 7) ** 2
    expected = F.conv2d(wide, kernel, padded.bias)
    torch.testing.assert_close(padded(x)[:, :, 1], expected, rtol=0, atol=1e-12)


@MODES
def test_shifting_the_image_shifts_the_answer(plain: bool):
    conv = layer(num_scales=3, plain=plain)
    x = torch.zeros(1, 2, 24, 24, dtype=torch.float64)
    x[:, :, 9:14, 9:14] = images(1, 2, 5, 5)
    shifted = conv(x.roll((1, -2), dims=(2, 3)))
    inside = (slice(None), slice(None), slice(None), slice(4, 16), slice(4, 16))
    expected = conv(x).roll((1, -2), dims=(3, 4))
    torch.testing.assert_close(shifted[inside], expected[inside], rtol=0, atol=1e-12)


@MODES
@pytest.mark.parametrize("interpolation", [i for i in INTERPOLATIONS if i != "nearest"])
def test_turning_image_and_kernel_turns_the_answer(interpolation: str, plain: bool):
    # Nearest is left out: it takes the pixel above of two that are equally near.
    conv = layer(num_scales=4, kernel_size=3, interpolation=interpolation, plain=plain)
    x = images(1, 2, 12, 12)
    expected = conv(x).rot90(dims=(3, 4))
    conv.weight.data = conv.weight.data.rot90(dims=(2, 3)).contiguous()
    torch.testing.assert_close(conv(x.rot90(dims=(2, 3))), expected, rtol=0, atol=1e-12)


def loudest_side(conv: SiConv2d, side: int) -> int:
    """Side of the kernel that answers loudest to a bright square of ``side`` pixels."""
    x = torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    corner = (48 - side) // 2
    x[:, :, corner : corner + side, corner : corner + side] = 1
    return conv.sides[int(conv(x).amax(dim=(0, 1, 3, 4)).argmax())]


@MODES
def test_an_object_twice_as_big_answers_on_a_kernel_twice_as_big(plain: bool):
    conv = layer(in_channels=1, out_channels=1, kernel_size=7, num_scales=20, plain=plain)
    conv.bias.data.zero_()
    conv.weight.data.fill_(-1)  # a bright spot of 5 x 5 with a dark rim
    conv.weight.data[:, :, 1:-1, 1:-1] = 1
    small, large = loudest_side(conv, 10), loudest_side(conv, 20)
    assert large == pytest.approx(2 * small, abs=2)  # sides come in steps of 2 pixels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, r"must be odd .*; got 4, try 5\."),
        ({"kernel_size": -1}, r"must be odd and positive.*; got -1, try 1\."),
        ({"interpolation": "cubic"}, r"must be one of nearest, .*; got 'cubic'\."),
        ({"num_scales": 0}, r"num_scales must be at least 1; got 0\."),
    ],
)
def test_a_layer_that_cannot_be_is_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        layer(**{"num_scales": 2, **options})


@MODES
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 2, 10, 30), r"largest kernel, 11 x 11, .*; got 10 x 30, which allows num_scales <= 3"),
        ((1, 3, 20, 20), r"with 2 channels; got shape \(1, 3, 20, 20\)\."),
        ((2, 20, 20), r"\(N, C, H, W\) with 2 channels; got shape \(2, 20, 20\)\."),
    ],
)
def test_images_that_do_not_suit_are_refused(shape: tuple, message: str, plain: bool):
    with pytest.raises(ValueError, match=message):
        layer(num_scales=4, plain=plain)(images(*shape))


@pytest.mark.parametrize("mode", ["pixel", "slice", "energy"])
def test_of_equal_scales_the_smallest_is_kept(mode: str):
    x = images(2, 3, 1, 4, 4).expand(2, 3, 5, 4, 4)
    pooled, indices = ScalePool(mode)(x, return_indices=True)
    assert torch.equal(pooled, x[:, :, 0])
    assert indices.eq(0).all()


@pytest.mark.parametrize("mode", ["slice", "energy", "energy_valid"])
def test_a_slice_is_kept_whole(mode: str):
    x = images(2, 3, 5, 9, 10)
    pooled, indices = ScalePool(mode)(x, return_indices=True)
    for n in range(2):
        for c in range(3):
            assert torch.equal(pooled[n, c], x[n, c, indices[n, c]])


def test_slice_follows_the_loudest_pixel_and_energy_the_largest_sum():
    x = torch.zeros(1, 1, 2, 2, 2)
    x[0, 0, 0, 0, 0] = 3.0
    x[0, 0, 1] = 1.0
    assert ScalePool("slice")(x, return_indices=True)[1].item() == 0
    assert ScalePool("energy")(x, return_indices=True)[1].item() == 1


def test_valid_energy_is_the_mean_of_answers_without_the_zeros_around_them():
    x = torch.zeros(1, 1, 2, 4, 4)
    x[0, 0, 0] = -1.0
    x[0, 0, 1, 1:3, 1:3] = -2.0
    assert ScalePool("energy")(x, return_indices=True)[1].item() == 1  # -16 to -8
    assert ScalePool("energy_valid")(x, return_indices=True)[1].item() == 0


def test_valid_energy_is_refused_where_there_is_no_border_of_zeros():
    with pytest.raises(ValueError, match=r"padding does not have; use energy\."):
        PooledSiConv2d(layer(num_scales=3, padding=True), ScalePool("energy_valid"))
    with pytest.raises(ValueError, match=r"5 scales need maps of at least 9 .*; got 8 x 9\."):
        ScalePool("energy_valid")(torch.zeros(1, 1, 5, 8, 9))


def test_an_unknown_mode_and_other_axes_are_refused():
    with pytest.raises(ValueError, match=r"one of pixel, slice, energy, energy_valid; got 'max'\."):
        ScalePool("max")
    with pytest.raises(ValueError, match=r"five axes .*; got 4, of shape \(1, 2, 3, 4\)\."):
        ScalePool("pixel")(torch.zeros(1, 2, 3, 4))


def test_of_equal_largest_values_the_first_receives_the_gradient():
    x = torch.tensor([[[[1.0, 2.0], [2.0, 2.0]]]], requires_grad=True)
    GlobalMaxPool()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("mode", POOL_MODES)
def test_a_pooled_stage_is_its_convolution_then_its_pool(mode: str):
    stage = PooledSiConv2d(layer(num_scales=3), ScalePool(mode))
    plain = PooledSiConv2d(layer(num_scales=3, plain=True), ScalePool(mode))
    x = images(2, 2, 13, 11)
    expected, indices = plain.pool(plain.conv(x), return_indices=True)
    torch.testing.assert_close(stage(x), expected, rtol=0, atol=1e-12)
    assert torch.equal(stage(x, return_indices=True)[1], indices)
    assert torch.equal(stage.pool(stage.conv(x), return_indices=True)[1], indices)
    torch.testing.assert_close(stage.peak(x), expected.amax(dim=(2, 3)), rtol=0, atol=1e-12)
