"""Scale selection: find an object's place and size without learning, then classify one patch of it.

The layers here are ours, not the paper's. An image is searched for blobs of any size, the strongest
is cut out in a size relative to its own, and only then does anything learn. What is learned never
sees how large the object was, so that sizes never trained on make no difference.
"""

from siconvnet.selection.blobs import ScaleSelection, Selection
from siconvnet.selection.jets import (
    GaussianJetConv2d,
    blur_matrix,
    discrete_gaussian,
    jet_stencils,
)
from siconvnet.selection.jitter import SelectionJitter
from siconvnet.selection.patches import CanonicalPatch, ContrastFloor

__all__ = [
    "CanonicalPatch",
    "ContrastFloor",
    "GaussianJetConv2d",
    "ScaleSelection",
    "Selection",
    "SelectionJitter",
    "blur_matrix",
    "discrete_gaussian",
    "jet_stencils",
]
