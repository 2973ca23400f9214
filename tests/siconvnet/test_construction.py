"""Layers are built like PyTorch's: with or without bias, on a device, in a dtype."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from siconvnet import (
    Conv2d,
    Conv3d,
    GaussianJetConv2d,
    KanazawaConv2d,
    PooledSiConv2d,
    ScalePool,
    SESConv2d,
    SiConv2d,
    XuConv2d,
)
from siconvnet.bases import steerable_basis
from siconvnet.layers import POOL_MODES
from siconvnet.networks import TwoStageNetwork

LAYERS: dict[str, Callable[..., nn.Module]] = {
    "SiConv2d": lambda **more: SiConv2d(2, 3, num_scales=4, kernel_size=5, **more),
    "Conv2d": lambda **more: Conv2d(2, 3, 5, **more),
    "Conv3d": lambda **more: Conv3d(2, 3, 3, **more),
    "KanazawaConv2d": lambda **more: KanazawaConv2d(2, 3, 5, **more),
    "XuConv2d": lambda **more: XuConv2d(2, 3, 5, **more),
    "SESConv2d": lambda **more: SESConv2d(
        2, 3, basis=steerable_basis("hermite"), lifting=True, **more
    ),
    "GaussianJetConv2d": lambda **more: GaussianJetConv2d(2, 3, side=40, sigma=1.0, **more),
}


def images(name: str, **more: Any) -> Tensor:
    shape = (2, 2, 5, 16, 16) if name == "Conv3d" else (2, 2, 40, 40)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)).to(**more)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_without_bias_answers_as_one_with_a_bias_of_zero(name: str, dtype: torch.dtype):
    torch.manual_seed(0)
    bare = LAYERS[name](bias=False, dtype=dtype)
    assert [*bare.state_dict()] == ["weight"]
    torch.manual_seed(0)
    full = LAYERS[name](bias=True, dtype=dtype)
    nn.init.zeros_(full.get_parameter("bias"))
    torch.testing.assert_close(bare.weight, full.weight, rtol=0, atol=0)
    x = images(name, dtype=dtype)
    torch.testing.assert_close(bare(x), full(x))
    if hasattr(bare, "peak"):
        torch.testing.assert_close(bare.peak(x), full.peak(x))


@pytest.mark.parametrize("name", LAYERS)
def test_the_bias_is_added_to_every_answer(name: str):
    torch.manual_seed(0)
    layer = (
        LAYERS[name](bias=True, dtype=torch.float64, plain=True)
        if name != ("GaussianJetConv2d")
        else LAYERS[name](bias=True, dtype=torch.float64)
    )
    black = torch.zeros_like(images(name, dtype=torch.float64))
    nn.init.ones_(layer.get_parameter("bias"))
    assert layer(black).max() == 1


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_on_the_device_meta_answers_without_values_in_the_shape_of_the_real_one(name: str):
    layer = LAYERS[name](device="meta")
    assert {tensor.device.type for tensor in layer.parameters()} == {"meta"}
    answer = layer(images(name, device="meta"))
    assert answer.device.type == "meta"
    assert answer.shape == LAYERS[name]()(images(name)).shape


@pytest.mark.parametrize("name", ["SiConv2d", "KanazawaConv2d", "SESConv2d"])
def test_parameters_made_without_values_can_be_loaded(name: str):
    empty, made = LAYERS[name](device="meta"), LAYERS[name]()
    empty.load_state_dict(made.state_dict(), assign=True)
    torch.testing.assert_close(empty(images(name)), made(images(name)))


@pytest.mark.parametrize("mode", POOL_MODES)
def test_a_pooled_stage_without_bias_answers_trains_and_chooses(mode: str):
    torch.manual_seed(0)
    stage = PooledSiConv2d(SiConv2d(2, 3, num_scales=6, kernel_size=7, bias=False), ScalePool(mode))
    book = PooledSiConv2d(
        SiConv2d(2, 3, num_scales=6, kernel_size=7, bias=False, plain=True), ScalePool(mode)
    )
    book.load_state_dict(stage.state_dict())
    x = images("SiConv2d")
    for answer in (lambda one: one(x), lambda one: one.peak(x)):
        ours, theirs = answer(stage), answer(book)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        of_ours, of_theirs = (
            torch.autograd.grad(found.square().sum(), one.conv.weight)[0]
            for found, one in ((ours, stage), (theirs, book))
        )
        torch.testing.assert_close(of_ours, of_theirs, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        assert torch.equal(stage(x, return_indices=True)[1], book(x, return_indices=True)[1])


def test_two_stages_without_bias_learn_what_they_learn_by_the_book():
    torch.manual_seed(0)
    networks = [
        TwoStageNetwork(
            SiConv2d(1, 3, num_scales=8, kernel_size=5, bias=False, plain=plain),
            Conv3d(3, 4, 3, bias=False, plain=plain),
            features=4,
            num_classes=3,
        )
        for plain in (False, True)
    ]
    networks[1].load_state_dict(networks[0].state_dict())
    x = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    found = [
        torch.autograd.grad(network(x).square().sum(), [*network.parameters()])
        for network in networks
    ]
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "build", [LAYERS["SiConv2d"], LAYERS["Conv2d"]], ids=["SiConv2d", "Conv2d"]
)
def test_initial_values_do_not_depend_on_how_they_were_asked_for(build: Callable[..., nn.Module]):
    torch.manual_seed(0)
    expected = build().state_dict()
    torch.manual_seed(0)
    found = build(bias=True, device="cpu", dtype=torch.float32).state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    "build",
    [
        lambda size: SiConv2d(1, 2, num_scales=2, kernel_size=size),
        lambda size: Conv2d(1, 2, size),
        lambda size: Conv3d(1, 2, size),
        lambda size: KanazawaConv2d(1, 2, size),
        lambda size: XuConv2d(1, 2, size),
    ],
)
def test_a_kernel_size_with_two_numbers_is_refused_in_a_sentence(build: Callable[[Any], nn.Module]):
    sentence = "kernel_size must be one whole number, as kernels are square; got (7, 7), try 7."
    with pytest.raises(ValueError, match=re.escape(sentence)):
        build((7, 7))


@pytest.mark.parametrize("padding", ["same", (1, 0), -1, 0.5])
def test_a_padding_that_is_not_one_number_of_pixels_is_refused_in_a_sentence(padding: Any):
    with pytest.raises(ValueError, match=r"padding must be one whole number of pixels.*; got "):
        Conv2d(1, 2, 3, padding=padding)
