"""Two stages by compiled loops against the plain form in double precision."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet import (
    Conv2d,
    Conv3d,
    KanazawaConv2d,
    SESConv2d,
    SiConv2d,
    XuConv2d,
    build_model,
)
from siconvnet.compiled.tables import fold_matrices
from siconvnet.networks import TwoStageNetwork
from siconvnet.stages import covers_stages

Stages = tuple[nn.Module, nn.Module]


def framed_basis(kernel_size: int, margins: list[int]) -> Tensor:
    """A random basis, whose functions at each scale are surrounded by zeros."""
    basis = torch.zeros(4, len(margins), kernel_size, kernel_size)
    for scale, margin in enumerate(margins):
        inner = slice(margin, kernel_size - margin)
        basis[:, scale, inner, inner] = torch.randn_like(basis[:, scale, inner, inner])
    return basis


@st.composite
def stages(draw: st.DrawFn) -> tuple[Stages, Tensor]:
    """Two layers of any kind that is computed at once, and images, some mostly black."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    c, middle, o = (draw(st.sampled_from(numbers)) for numbers in ((1, 2), (3, 16), (5, 17)))
    k = draw(st.sampled_from((3, 5)))
    kind = draw(st.sampled_from((Conv2d, KanazawaConv2d, XuConv2d, SESConv2d, SiConv2d)))
    if kind is Conv2d:
        padding = draw(st.sampled_from((0, k // 2)))
        pair = Conv2d(c, middle, k, padding=padding), Conv2d(middle, o, k, padding=padding)
    elif kind is KanazawaConv2d:
        pair = KanazawaConv2d(c, middle, k), KanazawaConv2d(middle, o, k)
    elif kind is XuConv2d:
        corrected = draw(st.booleans())
        pair = (
            XuConv2d(c, middle, k, corrected=corrected),
            XuConv2d(middle, o, k, corrected=corrected),
        )
        for layer in pair:  # a column of one tap has the sign of it, no gradient but rounding
            layer.weight.data += 0.1 * layer.weight.data.sign()
    elif kind is SESConv2d:
        basis = framed_basis(5, [2, 1, 0])
        pair = (
            SESConv2d(c, middle, basis=basis, lifting=True),
            SESConv2d(middle, o, basis=basis, lifting=False),
        )
    else:
        scales = draw(st.integers(k, 7))
        interpolation = draw(st.sampled_from(("bilinear", "bicubic", "area")))
        conv = SiConv2d(c, middle, num_scales=scales, kernel_size=k, interpolation=interpolation)
        pair = conv, Conv3d(middle, o, k)
    height, width = draw(st.integers(17, 20)), draw(st.integers(17, 20))
    x = torch.rand(draw(st.integers(1, 3)), c, height, width)
    if draw(st.booleans()):
        x[:, :, draw(st.integers(0, height)) :] = 0
        x[:, :, :, : draw(st.integers(0, width))] = 0
    return pair, x


def by_the_book(layers: Stages) -> Stages:
    twins = copy.deepcopy(layers)
    for layer in twins:
        layer.plain = True
    return twins[0].double(), twins[1].double()


def undoubted(layers: Stages, x: Tensor) -> bool:
    """Whether rounding decides neither which answers are largest nor which pass a ReLU."""
    with torch.no_grad():
        first = layers[0](x)
        last = layers[1](F.relu(first)).flatten(2)
    passes = (first == 0) | (first.abs() > 2e-6 * first.abs().max())
    if isinstance(layers[0], KanazawaConv2d):
        passes &= sizes_differ(layers[0], x)
    largest = last.amax(2, keepdim=True)
    wins = (last == largest) | (last < largest - 3e-5 * last.abs().max())
    return bool(passes.all() and wins.all())


def sizes_differ(layer: KanazawaConv2d, x: Tensor) -> Tensor:
    """Whether no two sizes of the image answer almost alike, except to what is black."""
    answers = torch.stack([layer.scale_response(x, factor) for factor in layer.factors])
    largest = answers.amax(0)
    near = answers > largest - 3e-6 * largest.abs().max()
    bias = layer.bias[:, None, None]
    return (near.sum(0) == 1) | (largest <= 0) | ((largest - bias).abs() < 1e-12)


def answer_and_gradients(layers: Stages, x: Tensor) -> list[Tensor]:
    torch.manual_seed(0)
    features = layers[1].weight.shape[0]
    network = TwoStageNetwork(*layers, features=features, num_classes=3).to(x.dtype)
    logits = network(x)
    (logits * torch.randn(logits.shape).to(logits)).sum().backward()
    return [logits, *(parameter.grad for parameter in network.parameters())]


@settings(max_examples=50, deadline=None)
@given(stages())
def test_two_stages_answer_and_learn_as_in_the_plain_form(form, case):
    layers, x = case
    plain = by_the_book(layers)
    assume(undoubted(plain, x.double()))
    assert covers_stages(*layers, x)
    for ours, theirs in zip(
        answer_and_gradients(layers, x), answer_and_gradients(plain, x.double()), strict=True
    ):
        scale = max(1, float(theirs.detach().abs().max()))
        torch.testing.assert_close(ours.double() / scale, theirs / scale, rtol=0, atol=2e-5)


def test_a_zero_bias_gets_no_gradient_from_black(form):
    torch.manual_seed(0)
    basis = framed_basis(7, [2, 1, 0])
    layers = (
        SESConv2d(1, 16, basis=basis, lifting=True),
        SESConv2d(16, 32, basis=basis, lifting=False),
    )
    x = torch.zeros(4, 1, 30, 30)
    x[:, :, 12:17, 11:18] = torch.rand(4, 1, 5, 7)
    ours = answer_and_gradients(layers, x)
    for layer in layers:
        layer.zero_grad()
    plain = answer_and_gradients(by_the_book(layers), x.double())
    for fast, slow in zip(ours, plain, strict=True):
        slack = 1e-4 * float(slow.detach().abs().max())
        torch.testing.assert_close(fast.double(), slow, rtol=0, atol=slack)


@pytest.mark.parametrize("watch", ["register_forward_hook", "register_forward_pre_hook"])
def test_stages_that_a_hook_watches_are_called_one_after_the_other(form, watch):
    layers = Conv2d(1, 4, 3), Conv2d(4, 8, 3)
    x = torch.rand(1, 1, 9, 9)
    seen = []
    getattr(layers[0], watch)(lambda *arguments: seen.append(len(arguments)))
    assert not covers_stages(*layers, x)
    answer_and_gradients(layers, x)
    assert len(seen) == 1


def test_images_that_learn_are_left_to_the_pytorch_form(form):
    layers = Conv2d(1, 4, 3), Conv2d(4, 8, 3)
    x = torch.rand(1, 1, 9, 9, requires_grad=True)
    assert not covers_stages(*layers, x)
    answer_and_gradients(layers, x)
    assert x.grad is not None


@pytest.mark.parametrize("name", ["standard", "conv3d", "energy_pool", "disco"])
def test_a_gradient_of_a_gradient_is_refused_by_the_name_of_what_would_do(form, name):
    model = build_model(name, in_channels=1, num_classes=3)
    parameters = list(model.parameters())
    logits = model(torch.rand(2, 1, 64, 64))
    once = torch.autograd.grad(logits.square().sum(), parameters, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once; for a gradient of a gradient .* plain=True\."):
        torch.autograd.grad(sum(found.square().sum() for found in once), parameters)


def two_steerable(side: int, *, empty: int) -> Stages:
    """Layers whose functions have one row and column of zeros."""
    basis = torch.rand(4, 2, side, side)
    basis[:, :, empty] = basis[:, :, :, empty] = 0
    return (
        SESConv2d(2, 3, basis=basis, lifting=True),
        SESConv2d(3, 5, basis=basis, lifting=False),
    )


EVEN: dict[str, Callable[[int], Stages]] = {
    "first": lambda side: (Conv2d(2, 3, side), Conv2d(3, 5, 3)),
    "last": lambda side: (Conv2d(2, 3, 3, padding=1), Conv2d(3, 5, side, padding=side // 2)),
    "both": lambda side: (Conv2d(2, 3, side, padding=1), Conv2d(3, 5, side)),
    "volume": lambda side: (SiConv2d(2, 3, num_scales=5, kernel_size=3), Conv3d(3, 5, side)),
    "steerable, empty first": lambda side: two_steerable(side, empty=0),
    "steerable, empty last": lambda side: two_steerable(side, empty=-1),
}


@pytest.mark.parametrize("side", [2, 4])
@pytest.mark.parametrize("kind", EVEN)
def test_kernels_of_an_even_side_are_left_to_the_pytorch_form(any_form, kind, side):
    torch.manual_seed(0)
    layers, x = EVEN[kind](side), torch.rand(3, 2, 17, 14)
    ours = answer_and_gradients(layers, x)
    for layer in layers:
        layer.zero_grad()
    plain = answer_and_gradients(by_the_book(layers), x.double())
    for fast, slow in zip(ours, plain, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=2e-5, atol=2e-5)


def test_an_even_kernel_is_not_folded():
    with pytest.raises(ValueError, match="about their middle tap; got 4 taps"):
        fold_matrices(4, mirrored=True)


@pytest.mark.parametrize(
    ("changed", "value"),
    [("stride", (2, 2)), ("dilation", (2, 2)), ("padding", (1, 0)), ("padding_mode", "circular")],
)
@pytest.mark.parametrize("stage", [0, 1])
def test_a_convolution_that_was_changed_is_left_to_pytorch(form, stage, changed, value):
    torch.manual_seed(0)
    layers, x = (Conv2d(2, 3, 3, padding=1), Conv2d(3, 5, 3, padding=1)), torch.rand(3, 2, 12, 11)
    setattr(layers[stage], changed, value)
    plain = answer_and_gradients(by_the_book(layers), x.double())
    for layer in layers:
        layer.zero_grad()
    for fast, slow in zip(answer_and_gradients(layers, x), plain, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=2e-5, atol=2e-5)
