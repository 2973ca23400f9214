"""Two stages of a network, computed at once where compiled loops serve both."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.baselines import Conv2d, Conv3d, KanazawaConv2d, SESConv2d, XuConv2d
from siconvnet.baselines.convolution import is_ordinary
from siconvnet.compiled.library import covers
from siconvnet.compiled.stages import covers_banks, two_stage_peak
from siconvnet.compiled.volume import volume_peak
from siconvnet.compiled.zoomed import zoomed_stages_peak
from siconvnet.layers import SiConv2d, bias_of
from siconvnet.modes.precision import full_precision
from siconvnet.modes.transformed import needs_plain_form

BANKS = (Conv2d, XuConv2d, SESConv2d)  # layers with a kernel of their own for each scale


def peak_of_stages(stage1: nn.Module, stage2: Any, x: Tensor) -> Tensor:
    """The largest answers of the last stage to the ReLU'd answers of the first, (N, O)."""
    if covers_stages(stage1, stage2, x):
        with full_precision(x.device):
            peak = compiled_peak(stage1, stage2, x)
        if peak is not None:
            return peak
    return stage2.peak(F.relu(stage1(x)))


def compiled_peak(stage1: nn.Module, stage2: nn.Module, x: Tensor) -> Tensor | None:
    """The same by compiled loops, or None if they do not know these sizes."""
    if isinstance(stage1, SiConv2d) and isinstance(stage2, Conv3d):
        depth = stage2.weight.shape[-1]  # and side
        side = min(x.shape[2:]) - stage1.kernel_size + 1
        if stage1.padding or depth % 2 == 0 or min(stage1.num_scales, side) < depth:
            return None
        stage1.check_input(x)
        first = (stage1.weight, bias_of(stage1), stage1.ladder)
        return volume_peak(x, *first, stage2.weight, bias_of(stage2))
    if isinstance(stage1, KanazawaConv2d) and isinstance(stage2, KanazawaConv2d):
        stage1.check_input(x)
        side = stage1.weight.shape[-1] + stage2.weight.shape[-1] - 1
        if stage1.factors != stage2.factors or min(x.shape[2:]) < side:
            return None
        first, last = (stage1.weight, bias_of(stage1)), (stage2.weight, bias_of(stage2))
        return zoomed_stages_peak(x, first, last, stage1.factors)
    assert isinstance(stage1, BANKS)
    assert isinstance(stage2, BANKS)
    first, last = stage1.bank(), stage2.bank()
    return two_stage_peak(x, first, last) if covers_banks(x, first, last) else None


def covers_stages(stage1: nn.Module, stage2: nn.Module, x: Tensor) -> bool:
    """Whether both are layers that compiled loops know, and no hook watches their answers."""
    banks = type(stage1) in (*BANKS, KanazawaConv2d) and type(stage2) is type(stage1)
    volume = type(stage1) is SiConv2d and type(stage2) is Conv3d
    if torch.compiler.is_compiling() or needs_plain_form(x):
        return False
    if not (banks or volume) or stage1.plain or stage2.plain or x.ndim != 4 or not len(x):
        return False
    assert isinstance(stage1.weight, Tensor)
    assert isinstance(stage2.weight, Tensor)
    first, last = stage1.weight.shape, stage2.weight.shape
    return (
        all(is_ordinary(each) for each in (stage1, stage2) if isinstance(each, (Conv2d, Conv3d)))
        and getattr(stage1, "lifting", True)
        and not getattr(stage2, "lifting", False)
        and (x.shape[1], first[0]) == (first[1], last[1])
        and not any(map(_is_watched, (stage1, stage2)))
        and not (torch.is_grad_enabled() and x.requires_grad)
        and covers(x, *stage1.parameters(), *stage2.parameters())
    )


def _is_watched(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    return any(hooks) or bool(module._backward_pre_hooks)
