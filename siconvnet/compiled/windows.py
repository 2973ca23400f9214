"""A last stage's answers at the windows that its winners see, and their gradients, compiled.

The structures are those of ``src/windows.cpp``.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet.compiled.library import Library, threads
from siconvnet.compiled.tables import Int, Pointer

Corners = tuple[Tensor, Tensor, Tensor]  # scale, first row and column of windows, (n, o) each


class StackStruct(ctypes.Structure):
    """What lies between the stages."""

    _fields_ = (
        ("answers", Pointer),
        ("scales", Int),
        ("height", Int),
        ("width", Int),
        ("images", Int),
        ("channels", Int),
    )


class LastStageStruct(ctypes.Structure):
    """The kernels that are searched."""

    _fields_ = (
        ("kernels", Pointer),
        ("outputs", Int),
        ("depth", Int),
        ("side", Int),
        ("one_kernel", Int),
        ("margins", Pointer),
    )


class CornersStruct(ctypes.Structure):
    """Where each winner's window begins."""

    _fields_ = (("scale", Pointer), ("row", Pointer), ("column", Pointer))


class FirstStageStruct(ctypes.Structure):
    """The images and how the first stage's kernels see them."""

    _fields_ = (
        ("planes", Pointer),
        ("channels_in", Int),
        ("rows", Int),
        ("width", Int),
        ("kernel_size", Int),
        ("longest", Int),
        ("sides", Pointer),
        ("offsets", Pointer),
        ("taps", Pointer),
        ("moved_taps", Pointer),
    )


@dataclass(frozen=True, slots=True)
class LastKernels:
    """The kernels of a last stage, (1 or S, O, depth, K, K, filled C), and zeros around them."""

    kernels: Tensor
    margins: Tensor
    one_kernel: bool

    @classmethod
    def of_planes(cls, kernels: Tensor, channels: int, margins: Sequence[int]) -> "LastKernels":
        """From (S, O, C, K, K)."""
        last = kernels.permute(0, 1, 3, 4, 2)
        if channels > last.shape[-1]:
            last = F.pad(last, (0, channels - last.shape[-1]))
        last = last[:, :, None].contiguous()
        return cls(last, torch.tensor(margins, dtype=torch.int32), one_kernel=len(margins) == 1)

    @property
    def struct(self) -> LastStageStruct:
        _, outputs, depth, side, _, _ = self.kernels.shape
        return LastStageStruct(
            self.kernels.data_ptr(),
            *(outputs, depth, side, self.one_kernel),
            self.margins.data_ptr(),
        )


def window_answers(
    library: Library, stack: Tensor, last: LastKernels, corners: Corners
) -> tuple[Tensor, Tensor]:
    """Values at the winners, (n, o), and what each sees, (n, o, depth, K, K, filled c)."""
    n, o = corners[0].shape
    values, seen = torch.empty(n, o), torch.empty(n, *last.kernels.shape[1:])
    library.call(
        "window_answers",
        StackStruct(stack.data_ptr(), *stack.shape),
        last.struct,
        CornersStruct(*(corner.data_ptr() for corner in corners)),
        threads(),
        values,
        seen,
    )
    return values, seen


def window_gradients(
    library: Library,
    stack_shape: Sequence[int],
    last: LastKernels,
    first: FirstStageStruct,
    corners: Corners,
    seen: Tensor,
    gradient: Tensor,
    kernels: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the last stage's kernels, the first one's and its bias, laid out as inside."""
    last_gradient = torch.zeros_like(last.kernels)
    n, channels = stack_shape[3], stack_shape[4]
    side = first.kernel_size
    first_gradients = torch.zeros(n, kernels, first.channels_in, side, side, channels)
    biases = torch.zeros(n, channels)
    library.call(
        "window_answers_backward",
        StackStruct(None, *stack_shape),
        last.struct,
        first,
        CornersStruct(*(corner.data_ptr() for corner in corners)),
        seen,
        gradient.contiguous(),
        threads(),
        last_gradient,
        first_gradients,
        biases,
    )
    return last_gradient, first_gradients.sum(0), biases.sum(0)
