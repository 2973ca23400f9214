"""The fast SiConv2d against the plain one, in double precision: outputs and gradients.

The scales are taken one by one, as on a CPU, or several at once, as elsewhere.
"""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lab.groups import in_groups
from siconvnet import PooledSiConv2d, ScalePool, SiConv2d, build_model
from siconvnet.fast import siconv_spectrum
from siconvnet.fast.siconv_response import response
from siconvnet.layers import POOL_MODES
from siconvnet.modes.precision import full_precision
from siconvnet.resample import INTERPOLATIONS, max_num_scales

KERNEL_SIZES = (3, 7, 11, 15)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[SiConv2d, Tensor]:
    """A layer of any kind and images that it takes, some of them mostly black."""
    kernel_size = draw(st.sampled_from(KERNEL_SIZES))
    height, width = draw(st.integers(kernel_size, 24)), draw(st.integers(kernel_size, 24))
    in_channels = draw(st.integers(1, 3))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    conv = SiConv2d(
        in_channels,
        draw(st.integers(1, 3)),
        num_scales=draw(st.integers(1, max_num_scales(height, width, kernel_size))),
        kernel_size=kernel_size,
        interpolation=draw(st.sampled_from(INTERPOLATIONS)),
        padding=draw(st.booleans()),
    ).double()
    if draw(st.booleans()):  # nothing answers louder than black
        conv.weight.data.abs_().neg_()
    conv.bias.data += draw(st.sampled_from((0.0, 0.0, -9.0)))  # every answer below zero
    x = torch.rand(draw(st.integers(1, 3)), in_channels, height, width, dtype=torch.float64)
    if draw(st.booleans()):  # a small object on black
        x[:, :, draw(st.integers(0, height)) :] = 0
        x[:, :, :, : draw(st.integers(0, width))] = 0
    return conv, x


GROUPS = st.sampled_from((1, 2, 3, None))


def answer_and_gradients(function, conv: SiConv2d, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    answer = function(x)
    torch.manual_seed(0)
    weights = torch.randn(answer.shape, dtype=answer.dtype)
    return [answer, *torch.autograd.grad(answer, (x, conv.weight, conv.bias), weights)]


def assert_same(fast: list[Tensor], plain: list[Tensor]) -> None:
    for ours, theirs in zip(fast, plain, strict=True):
        assert ours.shape == theirs.shape
        slack = 1e-10 * max(1, float(theirs.detach().abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=slack)


def plain_stage(conv: SiConv2d, mode: str) -> PooledSiConv2d:
    """A stage with the very weights of ``conv``, by the book."""
    twin = copy.copy(conv)
    twin.plain = True
    return PooledSiConv2d(twin, ScalePool(mode))


def sums_decide(conv: SiConv2d, x: Tensor, mode: str) -> bool:
    """Whether no two scales' answers sum to the same, up to rounding."""
    loudness = ScalePool(mode).loudness(conv.plain_response(x))
    sums = loudness.topk(min(2, conv.num_scales), dim=2).values
    return bool(((sums[:, :, 0] - sums[:, :, -1]).abs() > 1e-9).all()) or conv.num_scales == 1


@settings(max_examples=60, deadline=None)
@given(convolutions(), GROUPS)
def test_every_scale_answers_as_in_the_plain_form(case, groups):
    conv, x = case

    def fast(x: Tensor) -> Tensor:
        with in_groups(groups):
            return response(x, conv.weight, conv.bias, conv.ladder)

    assert_same(
        answer_and_gradients(fast, conv, x), answer_and_gradients(conv.plain_response, conv, x)
    )


@settings(max_examples=250, deadline=None)
@given(convolutions(), st.sampled_from(POOL_MODES), st.booleans(), GROUPS)
def test_a_pooled_stage_and_its_peak_answer_as_in_the_plain_form(case, mode, only_peak, groups):
    conv, x = case
    if mode == "energy_valid" and conv.padding:
        return
    if mode.startswith("energy") and not sums_decide(conv, x, mode):
        return
    fast, plain = PooledSiConv2d(conv, ScalePool(mode)), plain_stage(conv, mode)
    name = "peak" if only_peak else "forward"
    with in_groups(groups):
        found = answer_and_gradients(getattr(fast, name), conv, x)
    assert_same(found, answer_and_gradients(getattr(plain, name), conv, x))


@settings(max_examples=100, deadline=None)
@given(convolutions(), st.sampled_from(POOL_MODES), GROUPS)
def test_the_scales_chosen_from_all_answers_are_those_of_the_plain_form(case, mode, groups):
    conv, x = case
    if mode == "energy_valid" and conv.padding:
        return
    if mode.startswith("energy") and not sums_decide(conv, x, mode):
        return
    pool = ScalePool(mode)
    with in_groups(groups):
        answers = response(x, conv.weight, conv.bias, conv.ladder)
    _, fast = pool(answers, return_indices=True)
    _, plain = pool(conv.plain_response(x), return_indices=True)
    assert torch.equal(fast, plain)


@pytest.mark.parametrize("mode", POOL_MODES)
def test_many_images_in_several_passes_answer_as_one_by_one(monkeypatch, mode):
    torch.manual_seed(0)
    conv = SiConv2d(2, 3, num_scales=5, kernel_size=3).double()
    stage = PooledSiConv2d(conv, ScalePool(mode))
    x = torch.rand(5, 2, 12, 14, dtype=torch.float64)
    for function in (conv, stage, stage.peak):
        alone = [function(image[None]) for image in x]
        # room for the blocks of two images
        monkeypatch.setattr(siconv_spectrum, "PASS_ELEMENTS", 2 * 16 * 7 * 8 * 2)
        torch.testing.assert_close(function(x), torch.cat(alone), rtol=0, atol=1e-12)
        monkeypatch.undo()


@pytest.mark.parametrize("groups", [1, 3, None])
@pytest.mark.parametrize("bias", [0.5, -9.0])  # black is loudest; the zeros around are
def test_the_first_of_the_equally_loud_slices_is_kept(bias, groups):
    torch.manual_seed(0)
    conv = SiConv2d(1, 32, num_scales=7, kernel_size=3)
    conv.weight.data.abs_().neg_()
    conv.bias.data.fill_(bias)
    x = torch.zeros(8, 1, 24, 24)
    x[:, :, 20:, 18:] = torch.rand(8, 1, 4, 6)
    fast, plain = PooledSiConv2d(conv, ScalePool("slice")), plain_stage(conv, "slice")
    with in_groups(groups):
        torch.testing.assert_close(fast(x), plain(x))


@pytest.mark.parametrize("groups", [1, None])
@pytest.mark.parametrize("mode", ["pixel", "slice"])
def test_the_first_of_the_equal_answers_to_a_flat_image_receives_the_gradient(mode, groups):
    torch.manual_seed(0)
    conv = SiConv2d(2, 8, num_scales=8, kernel_size=3)
    x = torch.full((1, 2, 18, 20), 0.3, requires_grad=True)
    with in_groups(groups):
        peak = PooledSiConv2d(conv, ScalePool(mode)).peak(x)
    for channel in (peak[0] > 0).nonzero().flatten():
        (grad,) = torch.autograd.grad(peak[0, channel], x, retain_graph=True)
        assert grad[0, :, 0].any()
        assert grad[0, :, :, 0].any()


@pytest.mark.parametrize("groups", [1, 4, None])
@pytest.mark.parametrize("mode", POOL_MODES)
@pytest.mark.parametrize("bias", [0.5, 0.0, -9.0])
def test_what_is_chosen_on_a_mostly_black_image_does_not_depend_on_rounding(bias, mode, groups):
    torch.manual_seed(0)
    conv = SiConv2d(1, 4, num_scales=9, kernel_size=7).double()
    conv.bias.data.fill_(bias)
    x = torch.zeros(2, 1, 24, 24, dtype=torch.float64)
    x[:, :, 9:13, 10:14] = torch.rand(2, 1, 4, 4)
    _, chosen = ScalePool(mode)(conv.plain_response(x), return_indices=True)
    gradients = []
    with in_groups(groups):
        assert torch.equal(ScalePool(mode)(conv(x), return_indices=True)[1], chosen)
        for stage in (PooledSiConv2d(conv, ScalePool(mode)), plain_stage(conv, mode)):
            gradients.append(torch.autograd.grad(stage(x).sum(), (conv.weight, conv.bias)))
    assert_same(*gradients)


@pytest.mark.parametrize("name", ["pixel_pool", "slice_pool", "energy_pool", "energy_pool_valid"])
def test_a_whole_model_learns_the_same_from_64_pixel_images(name):
    options = {"in_channels": 1, "num_classes": 4}
    torch.manual_seed(1)
    fast, plain = build_model(name, **options), build_model(name, **options, plain=True)
    plain.load_state_dict(fast.state_dict())
    images = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    images[:, :, 20:45, 8:40] = torch.rand(1, 1, 25, 32, dtype=torch.float64)
    answers = []
    for model in (fast.double(), plain.double()):
        x = images.clone().requires_grad_()
        logits = model(x)
        torch.nn.functional.cross_entropy(logits, torch.tensor([3])).backward()
        answers.append([logits, x.grad, *(weight.grad for weight in model.parameters())])
    assert_same(*answers)


def test_the_callers_precision_is_restored_and_lowered_for_nobody_else():
    backend = torch.backends.mkldnn.matmul
    before = backend.fp32_precision
    try:
        backend.fp32_precision = "bf16"
        with full_precision(torch.device("cpu")):
            assert backend.fp32_precision == "ieee"
        assert backend.fp32_precision == "bf16"
    finally:
        backend.fp32_precision = before
