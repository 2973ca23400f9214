"""The compiled loops for a SiConv2d against the plain form, for each instruction set."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from siconvnet import GlobalMaxPool, PooledSiConv2d, ScalePool, SiConv2d
from siconvnet.compiled import siconv
from siconvnet.layers import POOL_MODES
from siconvnet.resample import INTERPOLATIONS, max_num_scales

CLOSE = {"rtol": 0, "atol": 2e-5}


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[SiConv2d, Tensor]:
    """A layer of any kind and images that it takes, some of them mostly black."""
    kernel_size = draw(st.sampled_from((1, 3, 7, 11)))
    height, width = draw(st.integers(kernel_size, 22)), draw(st.integers(kernel_size, 22))
    in_channels = draw(st.sampled_from((1, 2, 3, 4)))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    conv = SiConv2d(
        in_channels,
        draw(st.sampled_from((1, 3, 16, 17))),
        num_scales=draw(st.integers(1, max_num_scales(height, width, kernel_size))),
        kernel_size=kernel_size,
        interpolation=draw(st.sampled_from(INTERPOLATIONS)),
        padding=draw(st.booleans()),
    )
    if draw(st.booleans()):  # nothing answers louder than black
        conv.weight.data.abs_().neg_()
    conv.bias.data += draw(st.sampled_from((0.0, 0.0, -9.0)))  # every answer below zero
    x = torch.rand(draw(st.integers(1, 5)), in_channels, height, width)
    if draw(st.booleans()):  # a small object on black
        x[:, :, draw(st.integers(0, height)) :] = 0
        x[:, :, :, : draw(st.integers(0, width))] = 0
    return conv, x


def plain_answers(conv: SiConv2d, x: Tensor) -> Tensor:
    """Every scale's answer, (N, O, S, H, W), differentiable, in double precision."""
    borders = [0 if conv.padding else (side - conv.kernel_size) // 2 for side in conv.sides]
    return torch.stack(
        [
            torch.nn.functional.pad(
                torch.nn.functional.conv2d(
                    x.double(),
                    conv.kernel(side).double(),
                    conv.bias.double(),
                    padding=side // 2 if conv.padding else 0,
                ),
                (border,) * 4,
            )
            for side, border in zip(conv.sides, borders, strict=True)
        ],
        dim=2,
    )


def decided(candidates: Tensor) -> bool:
    """Whether no two of the largest along the last axis differ by as little as rounding."""
    largest = candidates.amax(-1, keepdim=True)
    return bool(((candidates == largest) | (candidates < largest - 1e-5)).all())


def choices(answers: Tensor, mode: str) -> Tensor:
    """What the scales compete with, on the last axis."""
    if mode == "pixel":
        return answers.movedim(2, -1)
    return ScalePool(mode).loudness(answers)


def with_gradients(answer: Tensor, *inputs: Tensor) -> list[Tensor]:
    torch.manual_seed(0)
    return [answer, *torch.autograd.grad(answer, inputs, torch.randn(answer.shape).to(answer))]


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.sampled_from(POOL_MODES))
def test_a_pooled_stage_answers_and_learns_as_in_the_plain_form(form, case, mode):
    conv, x = case
    assume(mode != "energy_valid" or not conv.padding)
    answers = plain_answers(conv, x)
    assume(decided(choices(answers, mode)))
    plain = ScalePool(mode)(answers)
    ours = siconv.pooled_response(x, conv.weight, conv.bias, conv.ladder, mode)
    for fast, slow in zip(
        with_gradients(ours, conv.weight, conv.bias),
        with_gradients(plain, conv.weight, conv.bias),
        strict=True,
    ):
        scale = max(1, float(slow.detach().abs().max()))
        torch.testing.assert_close(fast / scale, (slow / scale).float(), **CLOSE)


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.sampled_from(POOL_MODES))
def test_a_peak_and_its_gradients_are_those_of_the_plain_form(form, case, mode):
    conv, x = case
    assume(mode != "energy_valid" or not conv.padding)
    x.requires_grad_()
    answers = plain_answers(conv, x)
    pooled = ScalePool(mode)(answers)
    assume(decided(pooled.flatten(2)))
    assume(not mode.startswith("energy") or decided(choices(answers, mode)))
    assume(bool((pooled.flatten(2).amax(2) != 0).all()))  # a tie that a ReLU makes no matter
    plain = GlobalMaxPool()(pooled)
    ours = siconv.pooled_peak(x, conv.weight, conv.bias, conv.ladder, mode)
    inputs = (x, conv.weight, conv.bias)
    for fast, slow in zip(
        with_gradients(ours, *inputs), with_gradients(plain, *inputs), strict=True
    ):
        scale = max(1, float(slow.detach().abs().max()))
        torch.testing.assert_close(fast / scale, (slow / scale).float(), **CLOSE)


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.sampled_from(POOL_MODES))
def test_chosen_scales_are_those_of_exact_answers_near_ties_and_black_included(
    any_form, case, mode
):
    conv, x = case
    assume(mode != "energy_valid" or not conv.padding)
    with torch.no_grad():
        answers = plain_answers(conv, x)
        assume(not mode.startswith("energy") or decided(choices(answers, mode)))
        pooled, indices = PooledSiConv2d(conv, ScalePool(mode))(x, return_indices=True)
        if mode in ("pixel", "slice"):  # of answers that are the same float32 number, the first
            answers = answers.float()
        plain, expected = ScalePool(mode)(answers, return_indices=True)
    assert torch.equal(indices, expected)
    plain = plain.float()
    scale = max(1, float(plain.abs().max()))
    torch.testing.assert_close(pooled / scale, plain / scale, **CLOSE)


@pytest.mark.parametrize("interpolation", ["nearest", "area"])
def test_scales_that_answer_alike_to_a_flat_image_are_told_apart_exactly(any_form, interpolation):
    torch.manual_seed(0)
    conv = SiConv2d(2, 16, num_scales=8, kernel_size=3, interpolation=interpolation)
    x = torch.full((2, 2, 20, 19), 0.3)
    with torch.no_grad():
        _, indices = PooledSiConv2d(conv, ScalePool("pixel"))(x, return_indices=True)
        _, expected = ScalePool("pixel")(plain_answers(conv, x).float(), return_indices=True)
    assert torch.equal(indices, expected)


@pytest.mark.parametrize("mode", ["pixel", "slice"])
def test_the_first_of_the_equal_answers_to_a_flat_image_receives_the_gradient(form, mode):
    torch.manual_seed(0)
    conv = SiConv2d(2, 8, num_scales=8, kernel_size=3)
    x = torch.full((1, 2, 18, 20), 0.3, requires_grad=True)
    peak = PooledSiConv2d(conv, ScalePool(mode)).peak(x)
    for channel in (peak[0] > 0).nonzero().flatten():
        (grad,) = torch.autograd.grad(peak[0, channel], x, retain_graph=True)
        assert grad[0, :, 0].any()
        assert grad[0, :, :, 0].any()


@pytest.mark.parametrize("mode", POOL_MODES)
@pytest.mark.parametrize("bias", [0.5, 0.0])
def test_answers_to_black_are_the_bias_to_the_last_bit(form, bias, mode):
    torch.manual_seed(0)
    # With more scales the mean prefers a kernel so large that it meets the object everywhere.
    conv = SiConv2d(1, 4, num_scales=3 if mode == "energy_valid" else 9, kernel_size=7)
    conv.weight.data.abs_().neg_()
    conv.bias.data.fill_(bias)
    x = torch.zeros(2, 1, 24, 24)
    x[:, :, 9:13, 10:14] = torch.rand(2, 1, 4, 4)
    ours = PooledSiConv2d(conv, ScalePool(mode))(x)
    plain = ScalePool(mode)(conv.plain_response(x))
    black = plain == bias
    assert black.any()
    assert torch.equal(ours == bias, black)


@pytest.mark.parametrize("interpolation", ["bicubic", "nearest"])
def test_answers_do_not_depend_on_how_images_and_kernels_lie_in_memory(form, interpolation):
    torch.manual_seed(0)
    conv = SiConv2d(2, 5, num_scales=4, kernel_size=5, interpolation=interpolation)
    stage = PooledSiConv2d(conv, ScalePool("pixel"))
    wide = torch.rand(3, 2, 19, 40)
    cases = {
        "strided": wide[..., ::2],
        "transposed": wide[..., ::2].mT.contiguous().mT,
        "channels last": wide[..., ::2].contiguous(memory_format=torch.channels_last),
    }
    expected = stage(wide[..., ::2].contiguous()), stage.peak(wide[..., ::2].contiguous())
    for name, x in cases.items():
        assert torch.equal(stage(x), expected[0]), name
        assert torch.equal(stage.peak(x), expected[1]), name
    conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
    assert torch.equal(stage(wide[..., ::2]), expected[0])


def test_answers_do_not_depend_on_how_many_threads_share_the_work(form):
    torch.manual_seed(0)
    stage = PooledSiConv2d(SiConv2d(2, 5, num_scales=6, kernel_size=5), ScalePool("pixel"))
    x = torch.rand(3, 2, 19, 21)
    answers = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            stage.zero_grad()
            loss = stage(x).square().sum() + stage.peak(x).sum()
            loss.backward()
            answers.append([loss, *(parameter.grad for parameter in stage.parameters())])
    finally:
        torch.set_num_threads(threads)
    for others in answers[1:]:
        assert all(torch.equal(ours, other) for ours, other in zip(answers[0], others, strict=True))


@pytest.mark.parametrize("mode", POOL_MODES)
def test_what_is_not_finite_in_pixels_or_weights_is_not_finite_in_the_answer(form, mode):
    stage = PooledSiConv2d(SiConv2d(1, 2, num_scales=3, kernel_size=3), ScalePool(mode))
    x = torch.rand(2, 1, 12, 12)
    x[0, 0, 5, 5] = torch.nan
    assert stage.peak(x).isnan().tolist() == [[True, True], [False, False]]
    stage.conv.weight.data[1] = torch.nan
    assert stage.peak(x[1:]).isnan().tolist() == [[False, True]]


@pytest.mark.parametrize("of", ["images", "weight", "gradient"])
@pytest.mark.parametrize("mode", ["pixel", "energy"])
def test_a_sign_that_pytorch_keeps_beside_the_numbers_counts(form, mode, of):
    torch.manual_seed(0)
    conv = SiConv2d(1, 16, num_scales=3, kernel_size=5, padding=True)
    stage = PooledSiConv2d(conv, ScalePool(mode))
    x, weight, given = torch.randn(2, 1, 12, 11), stage.conv.weight, torch.randn(2, 16)

    def step() -> list[Tensor]:
        peak = stage.peak(x)
        gradient = torch._neg_view(-given) if of == "gradient" and negated else given
        stage.zero_grad()
        peak.backward(gradient)
        return [stage(x).detach(), peak.detach(), weight.grad]

    negated = False
    expected = step()
    negated = True
    if of == "images":
        x = torch._neg_view(-x)
    if of == "weight":
        weight.data = torch._neg_view(-weight.data)
    for ours, theirs in zip(step(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_zeros_without_memory_are_zeros(form):
    stage = PooledSiConv2d(SiConv2d(1, 16, num_scales=3, kernel_size=5), ScalePool("pixel"))
    x = torch._efficientzerotensor((2, 1, 12, 11))
    torch.testing.assert_close(stage.peak(x), stage.peak(torch.zeros(x.shape)), **CLOSE)
    torch.testing.assert_close(stage(x), stage(torch.zeros(x.shape)), **CLOSE)
