"""Convolution with a large kernel, trained without the slow gradient of such kernels."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from siconvnet.fast.fourier import spectral_answers
from siconvnet.modes.precision import above_autocast, full_precision
from siconvnet.modes.transformed import differentiable_once, not_compiled

LARGEST_DIRECT_SIDE = 13  # pixels; from 15 on, PyTorch's gradient on a CPU is many times slower


@not_compiled
@above_autocast
def large_conv2d(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """What ``conv2d`` answers, differentiable; the kernel's gradient comes by way of frequencies.

    Shape: x (N, C, H, W), kernel (O, C, k, k), bias (O,) -> (N, O, H - k + 1, W - k + 1).
    """
    if kernel.shape[-1] <= LARGEST_DIRECT_SIDE:
        return F.conv2d(x, kernel, bias)
    return _LargeConv2d.apply(x, kernel, bias)


class _LargeConv2d(torch.autograd.Function):
    """The kernel's gradient is itself a correlation: of images with the gradients of answers."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, kernel)
        return F.conv2d(x, kernel, bias)

    @staticmethod
    @differentiable_once
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, kernel = saved
        (gradient,) = gradients
        x_gradient = kernel_gradient = bias_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = conv2d_input(x.shape, kernel, gradient)
        if ctx.needs_input_grad[1]:
            with full_precision(x.device):
                images, kernels = x.transpose(0, 1)[:, :, None], gradient.transpose(0, 1)[None]
                answers = spectral_answers(images, kernels)[:, :, 0]
            kernel_gradient = answers.permute(3, 2, 0, 1)
        if ctx.needs_input_grad[2]:
            bias_gradient = gradient.sum(dim=(0, 2, 3))
        return x_gradient, kernel_gradient, bias_gradient
