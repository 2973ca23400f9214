"""Layers and models that cope with objects of a size they were never trained on."""

from siconvnet.baselines import Conv2d, Conv3d, KanazawaConv2d, SESConv2d, XuConv2d
from siconvnet.layers import GlobalMaxPool, PooledSiConv2d, ScalePool, SiConv2d
from siconvnet.models import MODELS, ModelSpec, build_model, register_model
from siconvnet.selection import (
    CanonicalPatch,
    ContrastFloor,
    GaussianJetConv2d,
    ScaleSelection,
)

__all__ = [
    "MODELS",
    "CanonicalPatch",
    "ContrastFloor",
    "Conv2d",
    "Conv3d",
    "GaussianJetConv2d",
    "GlobalMaxPool",
    "KanazawaConv2d",
    "ModelSpec",
    "PooledSiConv2d",
    "SESConv2d",
    "ScalePool",
    "ScaleSelection",
    "SiConv2d",
    "XuConv2d",
    "build_model",
    "register_model",
]
