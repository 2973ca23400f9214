"""Weights and biases as ``torch.nn.Conv2d`` draws them."""

import math

import torch
from torch import Tensor, nn

from siconvnet.layers import Device


def conv2d_weight(size: tuple[int, ...], device: Device, dtype: torch.dtype | None) -> nn.Parameter:
    """A weight as ``torch.nn.Conv2d`` draws it, (O, C, k, k)."""
    weight = nn.Parameter(torch.empty(size, device=device, dtype=dtype))
    nn.init.kaiming_uniform_(weight, a=5**0.5)
    return weight


def conv2d_bias(weight: Tensor) -> nn.Parameter:
    """The bias that ``torch.nn.Conv2d`` draws after that weight."""
    bound = 1 / math.sqrt(weight[0].numel())
    return nn.Parameter(weight.new_empty(len(weight)).uniform_(-bound, bound))
