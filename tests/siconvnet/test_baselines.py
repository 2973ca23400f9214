"""The layers of prior work: what they compute, and that the fast forms compute the same."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lab.groups import in_groups
from siconvnet import Conv2d, Conv3d, GlobalMaxPool, KanazawaConv2d, SESConv2d, XuConv2d
from siconvnet.bases import steerable_basis
from siconvnet.kernel_bank import zero_margins


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def ring_basis(functions: int, scales: int, side: int) -> Tensor:
    """Random functions whose zero frame narrows as the scale grows."""
    basis = images(functions, scales, side, side)
    for scale in range(scales):
        margin = max(0, side // 2 - 1 - scale)
        basis[:, scale] = F.pad(
            basis[:, scale, margin : side - margin, margin : side - margin], (margin,) * 4
        )
    return basis


# Each makes a layer from channels in and out, a kernel size and `plain`, and takes so many scales.
LAYERS: dict[str, tuple[Callable[..., nn.Module], int]] = {
    "conv2d": (Conv2d, 0),
    "padded conv2d": (lambda i, o, k, plain: Conv2d(i, o, k, padding=k // 2, plain=plain), 0),
    "conv3d": (Conv3d, 9),
    "kanazawa": (KanazawaConv2d, 0),
    "xu": (XuConv2d, 0),
    "xu in columns": (XuConv2d, 5),
    "xu corrected": (lambda i, o, k, plain: XuConv2d(i, o, k, corrected=True, plain=plain), 5),
    "steerable, lifting": (
        lambda i, o, k, plain: SESConv2d(
            i, o, basis=ring_basis(4, 3, k + 2), lifting=True, plain=plain
        ),
        0,
    ),
    "steerable": (
        lambda i, o, k, plain: SESConv2d(
            i, o, basis=ring_basis(4, 3, k + 2), lifting=False, plain=plain
        ),
        3,
    ),
}


def answers_and_gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Maps and peaks, and the gradients of a mixture of both."""
    x = x.clone().requires_grad_()
    maps, peak = layer(x), layer.peak(x)
    # Not randn_like, which follows the memory order of what it is given.
    total = (maps * images(*maps.shape)).sum() + (peak * images(*peak.shape)).sum()
    return [maps, peak, *torch.autograd.grad(total, [x, *layer.parameters()])]


def assert_same(fast: nn.Module, plain: nn.Module, x: Tensor) -> None:
    for ours, theirs in zip(
        answers_and_gradients(fast, x), answers_and_gradients(plain, x), strict=True
    ):
        slack = 1e-10 * max(1, float(theirs.detach().abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=slack)


def rounding_decides(plain: nn.Module, x: Tensor, background: float | None) -> bool:
    """Whether rounding says which of the largest answers is found.

    It does where answers differ by rounding in the plain form, and where windows of flat grey tie,
    whose sums are equal in exact arithmetic only. Windows of black tie in any arithmetic.
    """
    answers = plain(x).detach().flatten(2)
    largest = answers.amax(2, keepdim=True)
    near = answers > largest - 1e-12
    differ = bool((near & (answers < largest)).any())
    return differ or bool(background and (near.sum(2) > 1).any())


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_fast_and_plain_agree_in_double_precision(name: str, data: st.DataObject):
    build, scales = LAYERS[name]
    kernel_size = data.draw(st.sampled_from([3, 7]))
    height, width = data.draw(st.integers(11, 20)), data.draw(st.integers(11, 20))
    in_channels, out_channels = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    seed = data.draw(st.integers(0, 2**31))
    background = data.draw(st.sampled_from([None, 0.0, 0.25]))

    torch.manual_seed(seed)
    plain = build(in_channels, out_channels, kernel_size, plain=True).double()
    fast = build(in_channels, out_channels, kernel_size, plain=False).double()
    fast.load_state_dict(plain.state_dict())
    x = torch.rand(2, in_channels, *([scales] if scales else []), height, width).double()
    if background is not None:  # a small object on a flat background
        x[..., data.draw(st.integers(0, height)) :, :] = background
        x[..., : data.draw(st.integers(0, width))] = background

    assume(not rounding_decides(plain, x, background))
    with in_groups(data.draw(st.sampled_from([1, 2, None]))):
        assert_same(fast, plain, x)


@pytest.mark.parametrize(
    ("name", "kernel_size"),
    [("conv2d", 11), ("conv2d", 15), ("kanazawa", 15), ("xu in columns", 11), ("steerable", 13)],
)
def test_fast_and_plain_agree_on_large_kernels(name: str, kernel_size: int):
    build, scales = LAYERS[name]
    torch.manual_seed(0)
    plain = build(2, 3, kernel_size, plain=True).double()
    fast = build(2, 3, kernel_size, plain=False).double()
    fast.load_state_dict(plain.state_dict())
    x = images(2, 2, *([scales] if scales else []), 24, 21).relu()
    assert_same(fast, plain, x)


@pytest.mark.parametrize("name", LAYERS)
def test_a_peak_is_the_largest_of_the_maps_without_autograd_too(name: str):
    build, scales = LAYERS[name]
    layer = build(2, 3, 3, plain=False).double()
    x = images(2, 2, *([scales] if scales else []), 14, 12)
    with torch.no_grad():
        expected = GlobalMaxPool()(layer(x))
        torch.testing.assert_close(layer.peak(x), expected, rtol=0, atol=1e-12)


def support(kernel: Tensor) -> int:
    """Side of the part of a kernel that is not zero."""
    return int(kernel.ne(0).any(dim=0).any(dim=0).any(dim=0).sum())


@pytest.mark.parametrize(
    ("corrected", "sides"), [(False, [1, 3, 7, 6, 7]), (True, [3, 5, 7, 9, 11])]
)
def test_xu_stretches_to_the_published_sides_and_corrected_to_the_named_ones(
    corrected: bool, sides: list[int]
):
    kernels = XuConv2d(1, 2, 7, corrected=corrected).kernels()
    assert [support(kernel) for kernel in kernels] == sides


@pytest.mark.parametrize("corrected", [False, True])
def test_xu_keeps_the_l1_norm_of_each_kernel(corrected: bool):
    layer = XuConv2d(2, 3, 7, corrected=corrected).double()
    expected = layer.weight.abs().sum(dim=(2, 3)).expand(5, 3, 2)
    torch.testing.assert_close(layer.kernels().abs().sum(dim=(3, 4)), expected)


def test_xu_keeps_its_columns_apart():
    layer = XuConv2d(2, 3, 3)
    x = torch.randn(1, 2, 5, 12, 12)
    changed = x.clone()
    changed[:, :, 1] = 0
    same = [torch.equal(a, b) for a, b in zip(layer(x)[0, 0], layer(changed)[0, 0], strict=True)]
    assert same == [True, False, True, True, True]


def test_kanazawa_answers_at_least_as_loudly_as_its_kernel_on_the_image_itself():
    layer = KanazawaConv2d(1, 4, 3).double()
    x = images(1, 1, 16, 16)
    own_size = F.conv2d(x, layer.weight, layer.bias)
    assert layer(x).ge(own_size).all()
    assert layer(x).gt(own_size).any()


def test_a_steerable_kernel_is_the_weighted_sum_of_its_basis_at_each_scale():
    basis = images(4, 3, 5, 5)
    layer = SESConv2d(1, 2, basis=basis, lifting=True).double()
    expected = sum(layer.weight[1, 0, f] * basis[f, 2] for f in range(4))
    torch.testing.assert_close(layer.kernels()[2, 1, 0], expected)


def test_a_steerable_layer_keeps_its_scales_apart():
    layer = SESConv2d(1, 2, basis=ring_basis(4, 3, 5), lifting=False).double()
    x = images(1, 1, 3, 9, 9)
    changed = x.clone()
    changed[:, :, 0] = 0
    same = [torch.equal(layer(x)[:, :, s], layer(changed)[:, :, s]) for s in range(3)]
    assert same == [False, True, True]


@pytest.mark.parametrize(("name", "margins"), [("hermite", (4, 3, 2, 0)), ("disco", (4, 0, 0, 1))])
def test_the_zero_frames_of_the_bases_are_found(name: str, margins: tuple[int, ...]):
    assert zero_margins(steerable_basis(name, 7)) == margins


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("conv2d", (1, 3, 9, 9), r"with 2 channels; got shape \(1, 3, 9, 9\)"),
        ("conv3d", (1, 2, 9, 9), r"\(N, C, S, H, W\) with 2 channels; got shape \(1, 2, 9, 9\)"),
        ("kanazawa", (1, 2, 2, 9), r"at least as large as the 3 x 3 kernels; got 2 x 9\."),
        ("xu in columns", (1, 2, 4, 9, 9), r"must have 5, .* 3, 5, 7, 9, 11; got 4\."),
        ("steerable", (1, 2, 3, 4, 9), r"at least as large as the 5 x 5 kernels; got 4 x 9\."),
    ],
)
def test_an_input_that_does_not_suit_is_refused(
    name: str, shape: tuple[int, ...], message: str, plain: bool
):
    layer = LAYERS[name][0](2, 3, 3, plain=plain)
    with pytest.raises(ValueError, match=message):
        layer(torch.zeros(shape))
    with pytest.raises(ValueError, match=message):
        layer.peak(torch.zeros(shape))


def test_a_kernel_larger_than_xus_frame_is_refused():
    with pytest.raises(ValueError, match=r"at most 11; got kernel_size 15\."):
        XuConv2d(1, 2, 15)
    with pytest.raises(ValueError, match=r"of kernel_size 1 nothing is left\. Take 3 or more, or"):
        XuConv2d(1, 2, 1)
    answers = XuConv2d(1, 2, 1, corrected=True)(torch.rand(1, 1, 20, 20))
    assert answers.isfinite().all()
