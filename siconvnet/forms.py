"""Which form computes a layer: compiled loops where they serve, else PyTorch's operations.

The functions are those of ``siconvnet.fast``, by whose modules they are documented.
"""

import torch
from torch import Tensor

from siconvnet.compiled import choices
from siconvnet.compiled import siconv as compiled_siconv
from siconvnet.compiled.library import covers
from siconvnet.fast import siconv_indices, siconv_peak, siconv_response
from siconvnet.modes.precision import full_precision
from siconvnet.modes.transformed import not_compiled
from siconvnet.resample import Ladder


@not_compiled
def pooled_response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """One scale's answer, chosen as ``ScalePool(mode)`` does: (N, C, H, W) -> (N, O, H', W')."""
    if compiled_siconv.covers_response(x, weight, bias):
        with full_precision(x.device):
            return compiled_siconv.pooled_response(x, weight, bias, ladder, mode)
    return siconv_response.pooled_response(x, weight, bias, ladder, mode)


@not_compiled
def pooled_peak(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """What a global maximum finds in ``pooled_response``: (N, C, H, W) -> (N, O)."""
    if covers(x, weight, bias):
        with full_precision(x.device):
            return compiled_siconv.pooled_peak(x, weight, bias, ladder, mode)
    return siconv_peak.pooled_peak(x, weight, bias, ladder, mode)


@not_compiled
def pooled_choice(
    x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str
) -> tuple[Tensor, Tensor] | None:
    """What ``ScalePool(mode)`` keeps and its indices, without gradient; None: by the book only."""
    learns = torch.is_grad_enabled() and any(each.requires_grad for each in (x, weight, bias))
    if learns:
        return None
    if not covers(x, weight, bias):
        return siconv_indices.pooled_choice(x, weight, bias, ladder, mode)
    with full_precision(x.device):
        return choices.pooled_choice(x, weight, bias, ladder, mode)
