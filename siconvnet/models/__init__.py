"""The models of the benchmark by name, and a place for users' own."""

from siconvnet.models.benchmark import IMAGE_SIDE, KERNEL_SIZES
from siconvnet.models.registry import (
    MODELS,
    build_model,
    find_model,
    register_model,
    source_version,
)
from siconvnet.models.spec import Builder, ModelSpec

__all__ = [
    "IMAGE_SIDE",
    "KERNEL_SIZES",
    "MODELS",
    "Builder",
    "ModelSpec",
    "build_model",
    "find_model",
    "register_model",
    "source_version",
]
