"""Bases of steerable filters: a kernel is a learned sum of functions fixed at every scale.

A basis has axes (function, scale, row, column) and is float32; see ``docs/bases.md``.
"""

from siconvnet.bases.steerable import steerable_basis

__all__ = ["steerable_basis"]
