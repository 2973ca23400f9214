"""The peak of a convolution over scales against the plain one, in double precision."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.groups import in_groups
from siconvnet import Conv3d, SiConv2d
from siconvnet.networks import TwoStageNetwork


def peaks_and_gradients(conv: Conv3d, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    peak = conv.peak(x)
    weights = torch.arange(1.0, 1 + peak.numel(), dtype=peak.dtype).view_as(peak)
    return [peak, *torch.autograd.grad(peak, (x, conv.weight, conv.bias), weights)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_largest_answer_and_its_gradients_are_those_of_the_plain_form(data):
    integers = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    kernel_size = data.draw(st.sampled_from((1, 3, 5)))
    shape = [integers(kernel_size, kernel_size + extra) for extra in (4, 9, 9)]
    torch.manual_seed(integers(0, 2**31))
    conv = Conv3d(integers(1, 3), integers(1, 3), kernel_size).double()
    x = torch.randn(integers(1, 3), conv.in_channels, *shape, dtype=torch.float64).relu()
    with in_groups(data.draw(st.sampled_from((1, 3, None)))):
        fast = peaks_and_gradients(conv, x)
    conv.plain = True
    for ours, theirs in zip(fast, peaks_and_gradients(conv, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_first_of_all_equal_answers_receives_the_gradient():
    conv = Conv3d(1, 2, 3).double()
    x = torch.zeros(1, 1, 5, 9, 8, dtype=torch.float64, requires_grad=True)
    conv.peak(x).sum().backward()
    lit = x.grad.nonzero()
    assert lit.amax(0).tolist() == [0, 0, 2, 2, 2]


def test_a_small_conv3d_network_learns_the_same_as_in_the_plain_form():
    torch.manual_seed(1)
    images = torch.zeros(2, 1, 22, 20, dtype=torch.float64)
    images[:, :, 6:15, 4:12] = torch.rand(2, 1, 9, 8, dtype=torch.float64)
    conv = SiConv2d(1, 4, num_scales=8, kernel_size=3)
    network = TwoStageNetwork(conv, Conv3d(4, 5, 3), features=5, num_classes=3).double()
    answers = []
    for plain in (False, True):
        network.stage1.plain = network.stage2.plain = plain
        x = images.clone().requires_grad_()
        logits = network(x)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2]))
        answers.append([logits, *torch.autograd.grad(loss, (x, *network.parameters()))])
    for ours, theirs in zip(*answers, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_a_dense_answer_is_bias_exactly_wherever_a_kernel_sees_black():
    torch.manual_seed(0)
    conv = SiConv2d(1, 3, num_scales=6, kernel_size=3)
    x = torch.zeros(1, 1, 20, 20)
    x[:, :, 12:15, 12:15] = torch.rand(3, 3)
    black = (slice(None), slice(None), slice(0, 2), slice(5, 9), slice(5, 9))
    assert torch.equal(conv(x)[black], conv.plain_response(x)[black])
