"""The gradient of a large kernel by way of the frequency domain."""

import pytest
import torch
from torch.nn import functional as F

from siconvnet.fast.large_kernel import large_conv2d


@pytest.mark.parametrize("side", [13, 15, 17])
def test_answers_and_gradients_are_those_of_a_convolution(side: int):
    torch.manual_seed(0)
    shapes = [(2, 3, 24, 19), (4, 3, side, side), (4,)]
    arguments = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    answer, expected = large_conv2d(*arguments), F.conv2d(*arguments)
    mixture = torch.randn(expected.shape, dtype=torch.float64)
    torch.testing.assert_close(answer, expected, rtol=0, atol=0)
    for ours, theirs in zip(
        torch.autograd.grad(answer, arguments, mixture),
        torch.autograd.grad(expected, arguments, mixture),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_only_the_gradients_that_are_asked_for_are_computed():
    kernel = torch.randn(2, 1, 15, 15, requires_grad=True)
    bias = torch.zeros(2)
    large_conv2d(torch.rand(1, 1, 16, 16), kernel, bias).sum().backward()
    assert kernel.grad is not None
    assert bias.grad is None
