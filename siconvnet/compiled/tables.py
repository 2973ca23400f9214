"""What the compiled scan needs to know: constant matrices along an axis, images laid out for it.

The structures are those of the C++ sources.
"""

import ctypes
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from siconvnet.compiled.library import CHANNEL_BLOCK, Library
from siconvnet.modes.constants import constant
from siconvnet.resample import Ladder, resize_matrix

# What frequency 0 and what another counts for in an answer.
ROWS = (0.5, 1.0)  # u and -u both come, and are one at 0
COLUMNS = (1.0, 2.0)  # of v and -v, each other's conjugate, one comes
SCALES = (1.0, 1.0)  # k and -k both come, once at 0

Int, Long, Pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p


class AxisStruct(ctypes.Structure):
    """One scale along one axis."""

    _fields_ = (
        ("pixels", Int),
        ("answers", Int),
        ("frequencies", Int),
        ("even", Int),
        ("odd", Int),
        ("analysis_cosine", Pointer),
        ("analysis_sine", Pointer),
        ("even_taps", Pointer),
        ("odd_taps", Pointer),
        ("synthesis_cosine", Pointer),
        ("synthesis_sine", Pointer),
    )


class ImagesStruct(ctypes.Structure):
    """Images as (row, column, image, channel)."""

    _fields_ = (
        ("pixels", Pointer),
        ("row_stride", Long),
        ("pixel_stride", Long),
        ("count", Int),
        ("channels", Int),
        ("channel_stride", Int),
    )


class ProblemStruct(ctypes.Structure):
    """A convolution with all its scales."""

    _fields_ = (
        ("images", ImagesStruct),
        ("scales", Int),
        ("outputs", Int),
        ("height", Int),
        ("width", Int),
        ("threads", Int),
        ("rows", Pointer),
        ("columns", Pointer),
        ("borders", Pointer),
        ("taps", Pointer),
        ("bias", Pointer),
        ("black", Pointer),
    )


class FourAxesStruct(ctypes.Structure):
    """Images or kernels, wherever their numbers lie."""

    _fields_ = (("numbers", Pointer), ("strides", 4 * Long), ("sizes", 4 * Int))

    @classmethod
    def of(cls, numbers: Tensor) -> "FourAxesStruct":
        return cls(numbers.data_ptr(), numbers.stride(), tuple(numbers.shape))


class LadderStruct(ctypes.Structure):
    """How kernels are enlarged."""

    _fields_ = (
        ("kernel_size", Int),
        ("scales", Int),
        ("longest", Int),
        ("padded", Int),
        ("sides", Pointer),
        ("taps", Pointer),
    )


class RunnersUpStruct(ctypes.Structure):
    """What rounding leaves in doubt of a pixel pooling."""

    _fields_ = (("second", Pointer), ("third", Pointer), ("choice", Pointer))


def filled(count: int) -> int:
    """A number of channels, filled up to whole vectors of any instruction set."""
    return -(-count // CHANNEL_BLOCK) * CHANNEL_BLOCK


@dataclass(frozen=True, slots=True)
class Layout:
    """Images laid out for the loops, and the memory that they lie in."""

    memory: Tensor
    struct: ImagesStruct


def laid_out(library: Library, x_nchw: Tensor, *, fill_channels: bool = False) -> Layout:
    """Images as (row, column, image, channel), copied only if they do not lie so.

    With ``fill_channels`` each image has whole vectors of channels, the last ones zeros.
    """
    n, c, height, width = x_nchw.shape
    stride = filled(c) if fill_channels else c
    pixels = filled(n * stride)
    memory = x_nchw.detach().permute(2, 3, 0, 1)
    if pixels > n * c or not memory.is_contiguous():
        memory = torch.empty(height, width, pixels)
        library.call("images_laid_out", FourAxesStruct.of(x_nchw), stride, memory)
    return Layout(memory, ImagesStruct(memory.data_ptr(), width * pixels, pixels, n, c, stride))


@dataclass(frozen=True, slots=True)
class AxisTables:
    """All scales along one axis; the structures point into the matrices beside them."""

    structs: ctypes.Array[AxisStruct]
    matrices: tuple[Tensor, ...]


def axis_tables(
    pixels: int,
    period: int,
    scales: Sequence[tuple[Tensor, int]],
    folds: tuple[Tensor, Tensor],
    *,
    shares: tuple[float, float],
) -> AxisTables:
    """Make the matrices in double precision, then round them.

    ``scales`` has, of each scale, how much of each learned tap is in each tap of its kernel,
    (side, k), and the number of its answers, whose middle is the image's. ``folds`` are those of
    ``fold_matrices``. ``shares`` are what frequency 0 and what another counts for in an answer.
    """
    frequency = torch.arange(period // 2 + 1, dtype=torch.float64) * (2 * math.pi / period)
    weight = torch.full_like(frequency, shares[1] / period)
    weight[0] = shares[0] / period
    halves = from_middle(pixels)
    share = torch.where(halves == 0, 0.5, 1.0)  # the middle pixel is its own mirror image
    angle = torch.outer(frequency, halves)
    analysis = [angle.cos() * share, angle.sin()]
    matrices = [matrix.float().contiguous() for matrix in analysis]
    structs = (AxisStruct * len(scales))()
    for number, (taps, answers) in enumerate(scales):
        middle = torch.arange(len(taps), dtype=torch.float64) - (len(taps) - 1) / 2
        angle = torch.outer(frequency, middle)
        parts = (angle.cos() @ taps.double(), angle.sin() @ taps.double())
        even, odd = (
            part[:, : len(fold)].float().contiguous()
            for part, fold in zip(parts, folds, strict=True)
        )
        angle = torch.outer(-from_middle(answers).flip(0), frequency)  # from the first on
        synthesis = [(wave * weight).float().contiguous() for wave in (angle.cos(), angle.sin())]
        matrices += [even, odd, *synthesis]
        structs[number] = AxisStruct(
            pixels,
            answers,
            len(frequency),
            *(len(fold) for fold in folds),
            *(matrix.data_ptr() for matrix in (*matrices[:2], even, odd, *synthesis)),
        )
    return AxisTables(structs, tuple(matrices))


def from_middle(count: int) -> Tensor:
    """How far from their middle the later half of some pixels lies, the nearest first.

    >>> from_middle(4).tolist(), from_middle(3).tolist()
    ([0.5, 1.5], [0.0, 1.0])
    """
    return torch.arange((count + 1) // 2, dtype=torch.float64) + (0.0 if count % 2 else 0.5)


@constant
def fold_matrices(kernel_size: int, *, mirrored: bool) -> tuple[Tensor, Tensor]:
    """What the cosine and the sine part see of a kernel: its sum and difference with its mirror.

    A kernel that is not mirrored when the learned one is has to be seen whole by both.
    """
    unit = torch.eye(kernel_size)
    if not mirrored:
        return unit, unit
    if kernel_size % 2 == 0:
        raise ValueError(f"The loops fold kernels about their middle tap; got {kernel_size} taps.")
    even = (unit + unit.flip(0))[: kernel_size // 2 + 1]
    even[-1] /= 2
    return even, (unit - unit.flip(0))[: kernel_size // 2]


def folded(library: Library, weight: Tensor, *, mirrored: bool) -> Tensor:
    """Learned kernels (O, C, k, k) as the scan reads them: (row taps, column taps, C, filled O)."""
    o, c, k, _ = weight.shape
    count = sum(map(len, fold_matrices(k, mirrored=mirrored)))
    taps = torch.empty(count, count, c, filled(o))
    library.call("folded_taps", FourAxesStruct.of(weight), int(mirrored), taps)
    return taps


@dataclass(frozen=True, slots=True)
class LadderTables:
    """What the loops need to know of a ladder, for images of one size."""

    ladder: Ladder
    rows: AxisTables
    columns: AxisTables
    mirrored: bool  # whether enlarged kernels are when the learned one is
    taps: Tensor  # (S, longest, k)
    sides: Tensor
    borders: Tensor
    height: int  # of an answer with its border
    width: int

    @property
    def struct(self) -> LadderStruct:
        """The part of it that is needed to compute single answers."""
        scales, longest, k = self.taps.shape
        return LadderStruct(
            k, scales, longest, self.ladder.padding, self.sides.data_ptr(), self.taps.data_ptr()
        )


@functools.lru_cache(maxsize=32)
def ladder_tables(image_height: int, image_width: int, ladder: Ladder) -> LadderTables:
    """Tables of a ``SiConv2d`` for images of one size, cached and shared."""
    with torch.inference_mode(False), torch.no_grad():
        k, sides = ladder.kernel_size, ladder.sides
        mirrored = ladder.interpolation != "nearest"
        folds = fold_matrices(k, mirrored=mirrored)
        matrices = [
            resize_matrix(k, side, ladder.interpolation).double() * (k / side) for side in sides
        ]
        axes = []
        for pixels, shares in ((image_height, ROWS), (image_width, COLUMNS)):
            # A kernel inside the image never meets its periodic copy; a padded one may.
            period = (pixels + (sides[-1] // 2 if ladder.padding else 0)) | 1
            scales = zip(matrices, ladder.inner_sides(pixels), strict=True)
            axes.append(axis_tables(pixels, period, list(scales), folds, shares=shares))
        taps = torch.zeros(len(sides), sides[-1], k)
        for number, matrix in enumerate(matrices):
            taps[number, : len(matrix)] = matrix
        return LadderTables(
            ladder=ladder,
            rows=axes[0],
            columns=axes[1],
            mirrored=mirrored,
            taps=taps,
            sides=torch.tensor(sides, dtype=torch.int32),
            borders=torch.tensor(
                [ladder.border(scale) for scale in range(len(sides))], dtype=torch.int32
            ),
            height=ladder.answer_side(image_height),
            width=ladder.answer_side(image_width),
        )
