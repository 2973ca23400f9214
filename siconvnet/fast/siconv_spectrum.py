"""All scales of a ``SiConv2d`` in the frequency domain, as products of small real matrices.

Along one axis of N pixels, N odd, a cosine and a sine part stand for each frequency. A correlation
takes the parts ``X`` of an image and ``W`` of a kernel, whose centre is its origin, to

    cosine part:  X_cos W_cos + X_sin W_sin        sine part:  X_sin W_cos - X_cos W_sin

and along both axes to the products of these two rules: 4 x 4 real numbers a pair of frequencies.
The parts of an enlarged kernel are a fixed matrix times the learned one, so nothing of its enlarged
size is ever made; and only those answers are brought back that a kernel inside the image gives.

Axes, in the names of variables and comments: n images, c channels in, o channels out, s scales, h
and w pixels of the image, i and j pixels of the answer, u and v frequencies along the rows and
columns, p and q parts (0 cosine, 1 sine) of an answer, P and Q of a kernel.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from siconvnet.fast.grouping import portions
from siconvnet.modes.constants import constant
from siconvnet.resample import Ladder, resize_matrix

PARTS = (0, 1)  # cosine, sine
QUADRANTS = tuple((row, column) for row in PARTS for column in PARTS)
KEPT_ELEMENTS = 2**24  # of kernel transforms; more than that are made anew each time
PASS_ELEMENTS = 2**24  # of image blocks; more images than that are taken in several passes


@dataclass(frozen=True, slots=True)
class AxisSpectrum:
    """The constant matrices of one axis."""

    analysis: Tensor  # ((p P u), h): an image to what part P of a kernel meets for part p
    synthesis: Tensor  # (i, (p u)): the parts of an answer to the answer
    kernels: tuple[Tensor, Tensor]  # for each P (s, u, folded taps): a learned kernel to its parts


@dataclass(frozen=True, slots=True)
class ScaleGroup:
    """Neighbouring scales that are taken at once, as if each were an output channel of its own.

    ``rows`` and ``columns`` are those that the smallest of the scales reaches; ``beyond``, if there
    are larger ones, says where these do not, (i, j, 1, 1, s).
    """

    scales: range
    rows: slice
    columns: slice
    numbers: Tensor  # (s,), the scales
    floor: Tensor  # (s,), 0 where a scale's answer is surrounded by zeros, else -inf
    to_rows: Tensor  # (i, (p u)), the synthesis of these rows
    to_columns: Tensor  # (j, (v q)), the synthesis of these columns
    beyond: Tensor | None
    transforms: tuple[Tensor, ...] | None  # see Spectrum.transforms

    @property
    def inner(self) -> tuple[slice, slice]:
        """The rows and columns of an answer that the smallest scale reaches."""
        return self.rows, self.columns


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The constant matrices for images of one size, and what is done with them.

    Image blocks have shape (p, u v, q n, P Q c), kernel parts (folded taps of both axes, c o).
    """

    ladder: Ladder
    rows: AxisSpectrum
    columns: AxisSpectrum
    fold: Tensor  # (folded taps of both axes, k k), all quadrants
    taps: tuple[int, ...]  # how many folded taps each quadrant has
    reach: Tensor  # (i, j), the largest scale whose kernel stays inside the image
    groups: tuple[ScaleGroup, ...]
    row_scales: Tensor  # (rows of all groups,), the scale of each row of its answers
    row_numbers: Tensor  # and the row's number, counted from the scale's first answer

    @property
    def frequencies(self) -> tuple[int, int]:
        """How many frequencies the rows and the columns have."""
        return self.rows.kernels[0].shape[1], self.columns.kernels[0].shape[1]

    @property
    def answer_size(self) -> tuple[int, int]:
        """Height and width of an answer with its zeros."""
        return self.rows.synthesis.shape[0], self.columns.synthesis.shape[0]

    @property
    def one_by_one(self) -> bool:
        """Whether each scale is a group of its own."""
        return len(self.groups) == self.ladder.num_scales

    def passes(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        """The images in portions whose blocks are not too large."""
        u, v = self.frequencies
        return x_nchw.split(max(1, PASS_ELEMENTS // (16 * u * v * x_nchw.shape[1])))

    def image_blocks(self, x_nchw: Tensor) -> Tensor:
        """The parts of the images, laid out so that a matrix product correlates with a kernel."""
        n, c, height, width = x_nchw.shape
        u, v = self.frequencies
        x_hwnc = x_nchw.permute(2, 3, 0, 1).reshape(height, width * n * c)
        parts = (self.rows.analysis @ x_hwnc).view(4 * u, width, n * c)
        parts = torch.bmm(self.columns.analysis.expand(4 * u, -1, -1), parts)
        parts = parts.view(2, 2, u, 2, 2, v, n, c)  # p P u q Q v n c
        return parts.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(2, u * v, 2 * n, 4 * c)

    def images_from_blocks(self, blocks: Tensor, n: int, c: int) -> Tensor:
        """The adjoint of ``image_blocks``: a gradient of blocks to that of the images."""
        u, v = self.frequencies
        parts = blocks.view(2, u, v, 2, n, 2, 2, c)
        parts = parts.permute(0, 5, 1, 3, 6, 2, 4, 7).reshape(4 * u, 4 * v, n * c)
        height, width = self.rows.analysis.shape[1], self.columns.analysis.shape[1]
        parts = torch.bmm(self.columns.analysis.T.expand(4 * u, -1, -1), parts)
        x_hwnc = self.rows.analysis.T @ parts.view(4 * u, width * n * c)
        return x_hwnc.view(height, width, n, c).permute(2, 3, 0, 1)

    def kernel_parts(self, weight: Tensor) -> Tensor:
        """The folded taps of the learned kernels, differentiable."""
        o, c, k, _ = weight.shape
        return self.fold @ weight.permute(2, 3, 1, 0).reshape(k * k, c * o)

    def transforms(self, group: ScaleGroup) -> tuple[Tensor, ...]:
        """For each quadrant what takes folded taps to a kernel's parts, (u v, s, folded taps)."""
        if group.transforms is not None:
            return group.transforms
        return kernel_transforms(self.rows, self.columns, group.scales)


def kernel_transforms(
    rows: AxisSpectrum, columns: AxisSpectrum, scales: range
) -> tuple[Tensor, ...]:
    """``Spectrum.transforms`` of some scales, made of those of the two axes."""
    part = slice(scales.start, scales.stop)
    made = []
    for p, q in QUADRANTS:
        of_rows, of_columns = rows.kernels[p][part], columns.kernels[q][part]
        both = of_rows[:, :, None, :, None] * of_columns[:, None, :, None, :]  # s u v a b
        made.append(both.permute(1, 2, 0, 3, 4).flatten(3).flatten(0, 1).contiguous())
    return tuple(made)


def fold_matrices(ladder: Ladder, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """What the cosine and the sine part see of a kernel: its sum and difference with its mirror.

    Nearest neighbours are not mirrored when the kernel is; then both parts see all of it.
    """
    k = ladder.kernel_size
    unit = torch.eye(k, dtype=dtype)
    if ladder.interpolation == "nearest":
        return unit, unit
    even = (unit + unit.flip(0))[: k // 2 + 1]
    even[-1] /= 2
    return even, (unit - unit.flip(0))[: k // 2]


def axis_spectrum(image_side: int, ladder: Ladder, dtype: torch.dtype) -> AxisSpectrum:
    """Make the matrices of one axis in double precision, then round them."""
    # A kernel inside the image never meets its periodic copy; a padded one needs half its side.
    period = (image_side + (ladder.sides[-1] // 2 if ladder.padding else 0)) | 1
    frequency = torch.arange(period // 2 + 1, dtype=torch.float64) * (2 * math.pi / period)
    angle = torch.outer(frequency, torch.arange(image_side, dtype=torch.float64))
    cosine, sine = angle.cos(), angle.sin()
    weight = torch.full_like(frequency, 2 / period)
    weight[0] = 1 / period
    first = 0 if ladder.padding else ladder.kernel_size // 2
    answers = slice(first, image_side - first)
    synthesis = (torch.stack([cosine, sine]) * weight[:, None])[:, :, answers]
    return AxisSpectrum(
        analysis=torch.cat([cosine, sine, sine, -cosine]).to(dtype),
        synthesis=synthesis.permute(2, 0, 1).flatten(1).contiguous().to(dtype),
        kernels=kernel_spectra(frequency, ladder, dtype),
    )


def kernel_spectra(frequency: Tensor, ladder: Ladder, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The matrices from the folded taps of a learned kernel to the parts of each scale's kernel."""
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    folds = fold_matrices(ladder, dtype)
    for side in ladder.sides:
        angle = torch.outer(frequency, torch.arange(side, dtype=torch.float64) - side // 2)
        resize = resize_matrix(ladder.kernel_size, side, ladder.interpolation, dtype).double()
        resize = resize * (ladder.kernel_size / side)
        for part, fold, wave in zip(parts, folds, (angle.cos(), angle.sin()), strict=True):
            part.append((wave @ resize)[:, : len(fold)].to(dtype))
    return torch.stack(parts[0]), torch.stack(parts[1])


def spectrum_of(x: Tensor, out_channels: int, ladder: Ladder) -> Spectrum:
    """The matrices for a batch of images, (N, C, H, W)."""
    of_one_scale = x.shape[0] * out_channels * x.shape[2] * x.shape[3]
    groups = portions(ladder.num_scales, of_one_scale, x.device)
    scales = tuple(range(group.start, group.stop) for group in groups)
    return make_spectrum(x.shape[2], x.shape[3], ladder, x.dtype, x.device, scales)


@constant
def make_spectrum(
    height: int,
    width: int,
    ladder: Ladder,
    dtype: torch.dtype,
    device: torch.device,
    scales_of_groups: tuple[range, ...],
) -> Spectrum:
    """The matrices for images of one size, cached and shared."""
    rows, columns = (axis_spectrum(side, ladder, dtype) for side in (height, width))
    folds = fold_matrices(ladder, dtype)
    groups = scale_groups(rows, columns, ladder, scales_of_groups)
    row_scales, row_numbers = numbered_rows(groups, ladder)
    folded = [torch.kron(folds[p], folds[q]) for p, q in QUADRANTS]
    spectrum = Spectrum(
        ladder=ladder,
        rows=rows,
        columns=columns,
        fold=torch.cat(folded),
        taps=tuple(len(fold) for fold in folded),
        reach=reach(rows, columns, ladder),
        groups=groups,
        row_scales=row_scales,
        row_numbers=row_numbers,
    )
    return on_device(spectrum, device)


def scale_groups(
    rows: AxisSpectrum,
    columns: AxisSpectrum,
    ladder: Ladder,
    scales_of_groups: tuple[range, ...],
) -> tuple[ScaleGroup, ...]:
    """What each group of scales needs."""
    reached = reach(rows, columns, ladder)
    height, width = reached.shape
    taps_of_both_axes = ladder.kernel_size**2 * (4 if ladder.interpolation == "nearest" else 1)
    frequencies = rows.kernels[0].shape[1] * columns.kernels[0].shape[1]
    kept = ladder.num_scales * frequencies * taps_of_both_axes <= KEPT_ELEMENTS
    groups = []
    for scales in scales_of_groups:
        border = ladder.border(scales.start)
        inner = slice(border, height - border), slice(border, width - border)
        numbers = torch.arange(scales.start, scales.stop, dtype=torch.int16)
        beyond = reached[inner][:, :, None, None, None] < numbers
        floors = [0.0 if ladder.border(scale) else -torch.inf for scale in scales]
        groups.append(
            ScaleGroup(
                scales=scales,
                rows=inner[0],
                columns=inner[1],
                numbers=numbers,
                floor=torch.tensor(floors, dtype=rows.synthesis.dtype),
                to_rows=rows.synthesis[inner[0]],
                to_columns=columns.synthesis[inner[1]].unflatten(1, (2, -1)).mT.flatten(1),
                beyond=beyond if beyond.any() else None,
                transforms=kernel_transforms(rows, columns, scales) if kept else None,
            )
        )
    return tuple(groups)


def numbered_rows(groups: tuple[ScaleGroup, ...], ladder: Ladder) -> tuple[Tensor, Tensor]:
    """Scale and number of each row of the groups' answers, scales one below the other."""
    scales, numbers = [], []
    for group in groups:
        rows = torch.arange(len(group.to_rows)) + group.rows.start
        for scale in group.scales:
            scales.append(torch.full(rows.shape, scale))
            numbers.append((rows - ladder.border(scale)).clamp(min=0))
    return torch.cat(scales), torch.cat(numbers)


def reach(rows: AxisSpectrum, columns: AxisSpectrum, ladder: Ladder) -> Tensor:
    """The largest scale whose kernel stays inside the image at each pixel, (i, j)."""
    last = ladder.num_scales - 1
    i, j = (torch.arange(len(axis.synthesis), dtype=torch.int16) for axis in (rows, columns))
    if ladder.padding:
        return torch.full((len(i), len(j)), last, dtype=torch.int16)
    of_rows, of_columns = torch.minimum(i, i.flip(0)), torch.minimum(j, j.flip(0))
    return torch.minimum(of_rows[:, None], of_columns).clamp(max=last)


def on_device(constants: Any, device: torch.device) -> Any:
    """Nested constants with all their tensors on a device."""
    if isinstance(constants, Tensor):
        return constants.to(device)
    if isinstance(constants, tuple):
        return tuple(on_device(part, device) for part in constants)
    if isinstance(constants, (AxisSpectrum, ScaleGroup, Spectrum)):
        parts = {part.name: getattr(constants, part.name) for part in fields(constants)}
        return replace(constants, **{key: on_device(part, device) for key, part in parts.items()})
    return constants
