"""Which form computes a layer: compiled loops where they serve, else PyTorch's operations.

The functions are those of ``siconvnet.fast``, by whose modules they are documented.
"""

from torch import Tensor

from siconvnet.compiled import siconv as compiled_siconv
from siconvnet.compiled.library import covers
from siconvnet.fast import siconv_peak, siconv_response
from siconvnet.fast.precision import full_precision
from siconvnet.resample import Ladder


def pooled_response(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """One scale's answer, chosen as ``ScalePool(mode)`` does: (N, C, H, W) -> (N, O, H', W')."""
    if compiled_siconv.covers_response(x, weight, bias):
        with full_precision(x.device):
            return compiled_siconv.pooled_response(x, weight, bias, ladder, mode)
    return siconv_response.pooled_response(x, weight, bias, ladder, mode)


def pooled_peak(x: Tensor, weight: Tensor, bias: Tensor, ladder: Ladder, mode: str) -> Tensor:
    """What a global maximum finds in ``pooled_response``: (N, C, H, W) -> (N, O)."""
    if covers(x, weight, bias):
        with full_precision(x.device):
            return compiled_siconv.pooled_peak(x, weight, bias, ladder, mode)
    return siconv_peak.pooled_peak(x, weight, bias, ladder, mode)
