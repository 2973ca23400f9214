"""Two stages that show several sizes of an image to one kernel, by compiled loops.

As in ``siconvnet.compiled.stages``, both are computed at once. No size's answers are kept: the
first stage leaves the largest of each pixel and its size, the second the peaks of rows.
"""

import ctypes
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from siconvnet.compiled.library import Library, chosen_library, threads
from siconvnet.compiled.peaks import empty_peaks
from siconvnet.compiled.siconv import by_taps
from siconvnet.compiled.stages import Plane, plane
from siconvnet.compiled.tables import ImagesStruct, Int, Layout, Pointer, laid_out
from siconvnet.kernel_bank import KernelBank
from siconvnet.modes.transformed import differentiable_once
from siconvnet.resample import kept, sight, zoom_matrix

Factors = tuple[float, ...]
CPU = torch.device("cpu")


class BlendStruct(ctypes.Structure):
    """A bilinear resizing along one axis."""

    _fields_ = (
        ("same", Int),
        ("pixels", Int),
        ("first", Int),
        ("last", Int),
        ("sources", Pointer),
        ("shares", Pointer),
    )


class SightsStruct(ctypes.Structure):
    """How answers along one axis are made of the pixels that the last stage sees."""

    _fields_ = (
        ("answers", Int),
        ("side", Int),
        ("span", Int),
        ("first", Pointer),
        ("shares", Pointer),
    )


class ZoomedStageStruct(ctypes.Structure):
    """The last stage, and its winners."""

    _fields_ = (
        ("stack", Pointer),
        ("height", Int),
        ("width", Int),
        ("images", Int),
        ("channels", Int),
        ("outputs", Int),
        ("rows", SightsStruct),
        ("columns", SightsStruct),
        ("kernels", Pointer),
        ("size", Pointer),
        ("row", Pointer),
        ("column", Pointer),
    )


class ZoomedSizeStruct(ctypes.Structure):
    """One size of the images that the first stage saw."""

    _fields_ = (
        ("pixels", Pointer),
        ("answer_rows", Int),
        ("answer_columns", Int),
        ("rows", BlendStruct),
        ("columns", BlendStruct),
    )


@dataclass(frozen=True, slots=True)
class Blend:
    """A bilinear resizing along one axis, and the memory that its structure points to."""

    struct: BlendStruct
    memory: tuple[Tensor, Tensor]

    @classmethod
    def of_matrix(cls, matrix: Tensor) -> "Blend":
        """From what each pixel that comes out, a row, has of each that goes in."""
        used = matrix != 0
        first = used.int().argmax(1)
        last = torch.where(used.any(1), matrix.shape[1] - 1 - used.flip(1).int().argmax(1), first)
        sources = torch.stack([first, last], dim=1)
        shares = matrix.gather(1, sources)
        shares[first == last, 1] = 0
        memory = sources.int().contiguous(), shares.float().contiguous()
        inside = used.any(1).nonzero()
        struct = BlendStruct(
            int(
                matrix.shape[0] == matrix.shape[1]
                and bool((matrix == torch.eye(len(matrix))).all())
            ),
            *(len(matrix), int(inside[0]), int(inside[-1]) + 1),
            *(tensor.data_ptr() for tensor in memory),
        )
        return cls(struct, memory)


@dataclass(frozen=True, slots=True)
class Axis:
    """One size along one axis: how pixels and answers are resized, only as far as they count."""

    there: Blend
    back: Blend

    @property
    def framed(self) -> bool:
        """Whether zeros surround the answers."""
        return self.back.struct.last - self.back.struct.first < self.back.struct.pixels


@functools.lru_cache(maxsize=16)
def zoom_axes(pixels: int, side: int, factors: Factors) -> tuple[Axis, ...]:
    """Each size along an axis of so many pixels, for kernels of one side."""
    with torch.inference_mode(False), torch.no_grad():
        axes = []
        for factor in factors:
            used = kept(pixels - side + 1, 1 / factor)
            there = zoom_matrix(pixels, factor, torch.float64, CPU)
            back = zoom_matrix(pixels - side + 1, 1 / factor, torch.float64, CPU)
            axes.append(
                Axis(
                    Blend.of_matrix(there[used.start : used.stop + side - 1]),
                    Blend.of_matrix(back[:, used]),
                )
            )
        return tuple(axes)


@dataclass(frozen=True, slots=True)
class Sights:
    """How answers along one axis are made of pixels, and the memory that it points to."""

    struct: SightsStruct
    memory: tuple[Tensor, Tensor]


@functools.lru_cache(maxsize=16)
def sights(pixels: int, side: int, factors: Factors) -> Sights:
    """For each size and answer the pixels that it sees, and how much of each every tap does."""
    with torch.inference_mode(False), torch.no_grad():
        seen, _ = sight(pixels, side, factors, torch.float64, CPU)  # S I k H
        used = (seen != 0).any(2)
        first = used.int().argmax(2)
        last = pixels - 1 - used.flip(2).int().argmax(2)
        span = int((last - first)[used.any(2)].max()) + 1
        first = first.clamp(max=pixels - span)
        places = first[..., None] + torch.arange(span)
        shares = seen.gather(3, places[:, :, None].expand(-1, -1, side, -1)).mT
        memory = first.int().contiguous(), shares.float().contiguous()
        struct = SightsStruct(
            pixels - side + 1, side, span, *(tensor.data_ptr() for tensor in memory)
        )
        return Sights(struct, memory)


@dataclass(frozen=True, slots=True)
class ZoomedPlane:
    """One size of the images, its convolution, and how both are resized."""

    pixels: Tensor  # (rows, columns, filled image and channel)
    plane: Plane
    rows: Axis
    columns: Axis


def zoomed_planes(
    library: Library,
    images: Layout,
    bank: KernelBank,
    factors: Factors,
    *,
    exact_black: bool,
) -> Iterator[ZoomedPlane]:
    """Resize images (row, column, image and channel), as far as the kernel's answers count."""
    height, width, stride = images.memory.shape
    side = bank.kernels.shape[-1]
    axes = (zoom_axes(pixels, side, factors) for pixels in (height, width))
    for rows, columns in zip(*axes, strict=True):
        pixels = images.memory
        if not (rows.there.struct.same and columns.there.struct.same):
            pixels = torch.empty(rows.there.struct.pixels, columns.there.struct.pixels, stride)
            library.call(
                "resized_images",
                *(images.struct, rows.there.struct, columns.there.struct, width, threads(), pixels),
            )
        zoomed = ImagesStruct(
            *(pixels.data_ptr(), pixels.shape[1] * stride, stride),
            *(images.struct.count, images.struct.channels, images.struct.channel_stride),
        )
        size = pixels.shape[0], pixels.shape[1]
        convolution = plane(library, zoomed, size, bank, 0, exact_black=exact_black)
        yield ZoomedPlane(pixels, convolution, rows, columns)


def zoomed_stages_peak(
    x: Tensor,
    first: tuple[Tensor, Tensor],
    last: tuple[Tensor, Tensor],
    factors: Factors,
) -> Tensor:
    """The largest answers of the last stage to the ReLU'd ones of the first, (N, O).

    Weight and bias of each; differentiable with regard to all four.
    """
    peak = _ZoomedStagesPeak.apply(x, *first, last[0], factors) + last[1]
    size = [length - first[0].shape[-1] + 1 for length in x.shape[2:]]
    framed = [
        axis.framed for length in size for axis in zoom_axes(length, last[0].shape[-1], factors)
    ]
    return peak.clamp(min=0) if any(framed) else peak


class _ZoomedStagesPeak(torch.autograd.Function):
    """Both stages at once, without the last one's bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, last_weight: Tensor, factors: Factors
    ) -> Tensor:
        library = chosen_library()
        assert library is not None
        stack, choice, zoomed = largest_answers(library, x, weight, bias, factors)
        winners = largest_places(library, stack, last_weight, factors)
        kernels = by_taps(last_weight, stack.shape[-1])
        values = torch.empty(len(x), len(last_weight))
        seen = torch.empty(len(x), *kernels.shape)
        struct = last_stage(stack, kernels, winners, factors)
        library.call("zoomed_answers", struct, threads(), values, seen)
        ctx.save_for_backward(weight, last_weight, stack, choice, *winners, seen)
        ctx.library, ctx.factors, ctx.zoomed = library, factors, zoomed
        return values

    @staticmethod
    @differentiable_once
    def backward(
        ctx: Any, saved: tuple[Tensor, ...], *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight, last_weight, stack, choice, *winners, seen = saved
        o, c_in, side, _ = weight.shape
        n, channels = stack.shape[2:]
        sizes = (ZoomedSizeStruct * len(ctx.zoomed))(
            *(
                ZoomedSizeStruct(
                    each.pixels.data_ptr(),
                    *(each.plane.struct.height, each.plane.struct.width),
                    *(each.rows.back.struct, each.columns.back.struct),
                )
                for each in ctx.zoomed
            )
        )
        kernels = by_taps(last_weight, channels)
        last_gradient = torch.zeros_like(kernels)
        first_gradients = torch.zeros(n, c_in, side, side, channels)
        biases = torch.zeros(n, channels)
        ctx.library.call(
            "zoomed_answers_backward",
            last_stage(stack, kernels, winners, ctx.factors),
            *(ctypes.cast(sizes, Pointer), len(sizes), choice),
            *(c_in, ctx.zoomed[0].pixels.shape[-1], side),
            *(seen, gradients[0].contiguous(), threads()),
            *(last_gradient, first_gradients, biases),
        )
        first_gradient = first_gradients.sum(0)[..., :o].permute(3, 0, 1, 2)
        last_gradient = last_gradient[..., :o].permute(0, 3, 1, 2)
        return None, first_gradient, biases.sum(0)[:o], last_gradient, None


def largest_answers(
    library: Library, x: Tensor, weight: Tensor, bias: Tensor, factors: Factors
) -> tuple[Tensor, Tensor, list[ZoomedPlane]]:
    """The ReLU'd largest answers and their sizes, (H, W, n, filled o), and all sizes' images."""
    images = laid_out(library, x)
    bank = KernelBank(weight[None], bias, (0,), 0)
    zoomed = list(zoomed_planes(library, images, bank, factors, exact_black=True))
    answers = [length - weight.shape[-1] + 1 for length in x.shape[2:]]
    stack = torch.full((*answers, len(x), zoomed[0].plane.struct.outputs), -torch.inf)
    choice = torch.zeros(stack.shape, dtype=torch.int32)
    for number, each in enumerate(zoomed):
        library.call(
            "resized_maximum",
            *(each.plane.struct, each.rows.back.struct, each.columns.back.struct),
            *(number, stack, choice),
        )
    return stack.clamp_(min=0), choice, zoomed


def largest_places(
    library: Library, stack: Tensor, weight: Tensor, factors: Factors
) -> tuple[Tensor, Tensor, Tensor]:
    """Size, row and column of the largest answers without the frame, (n, o), first pixels first."""
    height, width, n, stride = stack.shape
    o, c = weight.shape[:2]
    pixels = n * stride
    struct = ImagesStruct(stack.data_ptr(), width * pixels, pixels, n, c, stride)
    images = Layout(stack.view(height, width, pixels), struct)
    bank = KernelBank(weight[None], None, (0,), 0)
    found = None
    planes = zoomed_planes(library, images, bank, factors, exact_black=False)
    for number, each in enumerate(planes):
        if found is None:
            rows = each.rows.back.struct.pixels
            found = empty_peaks(len(factors), rows, n * each.plane.struct.outputs)
        library.call(
            "resized_peaks",
            *(each.plane.struct, each.rows.back.struct, each.columns.back.struct),
            found.struct(number),
        )
    assert found is not None
    return found.first(library, n, o, by_pixel=True)


def last_stage(
    stack: Tensor, kernels: Tensor, winners: tuple[Tensor, ...] | list[Tensor], factors: Factors
) -> ZoomedStageStruct:
    """The last stage as the loops know it."""
    height, width, n, channels = stack.shape
    rows, columns = (sights(size, kernels.shape[1], factors) for size in (height, width))
    return ZoomedStageStruct(
        *(stack.data_ptr(), height, width, n, channels, len(kernels)),
        *(rows.struct, columns.struct, kernels.data_ptr()),
        *(place.data_ptr() for place in winners),
    )
