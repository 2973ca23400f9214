"""All scales of a ``SiConv2d`` in the frequency domain, as products of small real matrices.

Along one axis of N pixels, N odd, a cosine and a sine part stand for each frequency. A correlation
takes the parts ``X`` of an image and ``W`` of a kernel, whose centre is its origin, to

    cosine part:  X_cos W_cos + X_sin W_sin        sine part:  X_sin W_cos - X_cos W_sin

and along both axes to the products of these two rules: 4 x 4 real numbers a pair of frequencies.
The parts of an enlarged kernel are a fixed matrix times the learned one, so nothing of its enlarged
size is ever made; and only those answers are brought back that a kernel inside the image gives.

Axes, in the names of variables and comments: n images, c channels in, o channels out, h and w
pixels of the image, i and j pixels of the answer, u and v frequencies along the rows and columns,
p and q parts (0 cosine, 1 sine) of an answer, P and Q of a kernel.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from siconvnet.resample import Ladder, resize_matrix

PARTS = (0, 1)  # cosine, sine
QUADRANTS = tuple((row, column) for row in PARTS for column in PARTS)
KEPT_ELEMENTS = 2**24  # of kernel transforms; more than that are made anew each time
PASS_ELEMENTS = 2**24  # of image blocks; more images than that are taken in several passes


@dataclass(frozen=True, slots=True)
class AxisSpectrum:
    """The constant matrices of one axis."""

    analysis: Tensor  # (2, frequencies, pixels): an image to its parts
    synthesis: Tensor  # (answers, 2, frequencies): the parts of an answer to the answer
    kernels: tuple[tuple[Tensor, Tensor], ...]  # a scale's parts, each (frequencies, folded taps)


def fold_matrices(ladder: Ladder, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """What the cosine and the sine part see of a kernel: its sum and difference with its mirror.

    Nearest neighbours are not mirrored when the kernel is; then both parts see all of it.
    """
    k = ladder.kernel_size
    unit = torch.eye(k, dtype=dtype, device=device)
    if ladder.interpolation == "nearest":
        return unit, unit
    even = (unit + unit.flip(0))[: k // 2 + 1]
    even[-1] /= 2
    return even, (unit - unit.flip(0))[: k // 2]


def axis_spectrum(
    image_side: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> AxisSpectrum:
    """Make the matrices of one axis in double precision, then round them."""
    exact = {"dtype": torch.float64, "device": device}
    # A kernel inside the image never meets its periodic copy; a padded one needs half its side.
    period = (image_side + (ladder.sides[-1] // 2 if ladder.padding else 0)) | 1
    frequency = torch.arange(period // 2 + 1, **exact) * (2 * math.pi / period)
    angle = torch.outer(frequency, torch.arange(image_side, **exact))
    analysis = torch.stack([angle.cos(), angle.sin()])
    weight = torch.full_like(frequency, 2 / period)
    weight[0] = 1 / period
    first = 0 if ladder.padding else ladder.kernel_size // 2
    answers = slice(first, image_side - first)
    kernels = []
    folded = [fold.shape[0] for fold in fold_matrices(ladder, dtype, device)]
    for side in ladder.sides:
        angle = torch.outer(frequency, torch.arange(side, **exact) - side // 2)
        resize = resize_matrix(ladder.kernel_size, side, ladder.interpolation, dtype, device)
        resize = resize.double() * (ladder.kernel_size / side)
        parts = (angle.cos() @ resize, angle.sin() @ resize)
        kernels.append(
            tuple(
                part[:, :taps].contiguous().to(dtype)
                for part, taps in zip(parts, folded, strict=True)
            )
        )
    return AxisSpectrum(
        analysis=analysis.to(dtype),
        synthesis=(analysis * weight[:, None]).permute(2, 0, 1)[answers].contiguous().to(dtype),
        kernels=tuple(kernels),
    )


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The constant matrices for images of one size, and what is done with them.

    Image blocks have shape (p, u v, q n, P Q c), kernel parts (folded taps of both axes, c o),
    responses (i, j, n o).
    """

    ladder: Ladder
    rows: AxisSpectrum
    columns: AxisSpectrum
    folds: tuple[Tensor, ...]
    kept: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)  # kernel transforms

    @property
    def frequencies(self) -> tuple[int, int]:
        """How many frequencies the rows and the columns have."""
        return self.rows.analysis.shape[1], self.columns.analysis.shape[1]

    @property
    def answer_size(self) -> tuple[int, int]:
        """Height and width of an answer with its zeros."""
        return self.rows.synthesis.shape[0], self.columns.synthesis.shape[0]

    def inner(self, scale: int) -> tuple[slice, slice]:
        """The rows and columns of the answer that a scale's kernel reaches."""
        border = self.ladder.border(scale)
        height, width = self.answer_size
        return slice(border, height - border), slice(border, width - border)

    def passes(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        """The images in portions whose blocks are not too large."""
        u, v = self.frequencies
        return x_nchw.split(max(1, PASS_ELEMENTS // (16 * u * v * x_nchw.shape[1])))

    def image_blocks(self, x_nchw: Tensor) -> Tensor:
        """The parts of the images, laid out so that a matrix product correlates with a kernel."""
        n, c, height, width = x_nchw.shape
        u, v = self.frequencies
        x_hwnc = x_nchw.permute(2, 3, 0, 1).reshape(height, width * n * c)
        parts = (self.rows.analysis.view(2 * u, height) @ x_hwnc).view(2 * u, width, n * c)
        columns = self.columns.analysis.view(2 * v, width).expand(2 * u, -1, -1)
        parts = torch.bmm(columns, parts).view(2, u, 2, v, n, c)
        blocks = parts.new_empty(2, u, v, 2, n, 2, 2, c)
        for p, q in QUADRANTS:
            for big_p, big_q in QUADRANTS:
                block = blocks[p, :, :, q, :, big_p, big_q]
                part = parts[p ^ big_p, :, q ^ big_q]
                if negative(p, q, big_p, big_q):
                    torch.neg(part, out=block)
                else:
                    block.copy_(part)
        return blocks.view(2, u * v, 2 * n, 4 * c)

    def images_from_blocks(self, blocks: Tensor, n: int, c: int) -> Tensor:
        """The adjoint of ``image_blocks``: a gradient of blocks to that of the images."""
        u, v = self.frequencies
        blocks = blocks.view(2, u, v, 2, n, 2, 2, c)
        parts = blocks.new_zeros(2, u, 2, v, n, c)
        for p, q in QUADRANTS:
            for big_p, big_q in QUADRANTS:
                sign = -1 if negative(p, q, big_p, big_q) else 1
                part = parts[p ^ big_p, :, q ^ big_q]
                part.add_(blocks[p, :, :, q, :, big_p, big_q], alpha=sign)
        height, width = self.rows.analysis.shape[2], self.columns.analysis.shape[2]
        columns = self.columns.analysis.view(2 * v, width).T.expand(2 * u, -1, -1)
        parts = torch.bmm(columns, parts.view(2 * u, 2 * v, n * c))
        x_hwnc = self.rows.analysis.view(2 * u, height).T @ parts.view(2 * u, width * n * c)
        return x_hwnc.view(height, width, n, c).permute(2, 3, 0, 1)

    def kernel_parts(self, weight: Tensor) -> Tensor:
        """The folded taps of the learned kernels, differentiable."""
        o, c, _, _ = weight.shape
        folded = [
            torch.einsum("ak,bl,ockl->abco", self.folds[p], self.folds[q], weight)
            for p, q in QUADRANTS
        ]
        return torch.cat([part.reshape(-1, c * o) for part in folded])

    def kernel_transforms(self, scale: int) -> tuple[Tensor, ...]:
        """For each quadrant the matrix (u v, folded taps of both axes) from taps to parts."""
        if scale in self.kept:
            return self.kept[scale]
        rows, columns = self.rows.kernels[scale], self.columns.kernels[scale]
        transforms = tuple(
            torch.kron(rows[p].contiguous(), columns[q].contiguous()) for p, q in QUADRANTS
        )
        if self.ladder.num_scales * sum(map(torch.numel, transforms)) <= KEPT_ELEMENTS:
            self.kept[scale] = transforms
        return transforms


def negative(p: int, q: int, big_p: int, big_q: int) -> bool:
    """Whether a kernel's part enters an answer's part with a minus sign."""
    return bool((p & big_p) ^ (q & big_q))


@functools.lru_cache(maxsize=32)
def make_spectrum(
    height: int, width: int, ladder: Ladder, dtype: torch.dtype, device: torch.device
) -> Spectrum:
    """The matrices for images of one size, cached and shared."""
    # Tensors made in inference mode could not be used in training later on.
    with torch.inference_mode(False), torch.no_grad():
        return Spectrum(
            ladder=ladder,
            rows=axis_spectrum(height, ladder, dtype, device),
            columns=axis_spectrum(width, ladder, dtype, device),
            folds=fold_matrices(ladder, dtype, device),
        )


class Correlator:
    """Images and kernels of one call, and the buffers that all scales share.

    ``responses`` gives the answers of one scale after another; ``accumulate`` takes their gradients
    back to the images' blocks and the kernels' parts.
    """

    def __init__(self, spectrum: Spectrum, blocks: Tensor, parts: Tensor) -> None:
        u, v = spectrum.frequencies
        self.spectrum = spectrum
        self.blocks = blocks
        self.n = blocks.shape[2] // 2
        self.c = blocks.shape[3] // 4
        self.o = parts.shape[1] // self.c
        self.parts = parts.split([transform.shape[1] for transform in self._transforms(0)])
        height, width = spectrum.answer_size
        self._kernel = blocks.new_empty(u * v, 4, self.c * self.o)
        self._answer = blocks.new_empty(2, u * v, 2 * self.n, self.o)
        self._half = blocks.new_empty(height * 2 * v * self.n * self.o)
        self._response = blocks.new_empty(height * width * self.n * self.o)

    def responses(self) -> Iterator[tuple[int, Tensor]]:
        """Each scale and its answers without bias and border, overwritten by the next."""
        for scale in range(self.spectrum.ladder.num_scales):
            yield scale, self.response(scale)

    def response(self, scale: int, pairs: Tensor | None = None) -> Tensor:
        """Answers of one scale, (i, j, n o), without bias and border.

        With ``pairs`` only those of some images and channels, counted along (n o).
        """
        kernel = self._kernel_blocks(scale)
        for p in PARTS:
            torch.bmm(self.blocks[p], kernel, out=self._answer[p])
        u, v = self.spectrum.frequencies
        answer = self._answer.view(2 * u, 2 * v, self.n * self.o)
        if pairs is not None:
            answer = answer.index_select(2, pairs)
        to_rows, to_columns = self._synthesis(scale)
        i, j, wanted = to_rows.shape[0], to_columns.shape[0], answer.shape[2]
        half = self._part_of(self._half, i, 2 * v * wanted)
        torch.mm(to_rows, answer.view(2 * u, -1), out=half)
        response = self._part_of(self._response, i, j, wanted)
        return torch.bmm(to_columns.expand(i, -1, -1), half.view(i, 2 * v, wanted), out=response)

    def accumulate(
        self,
        scale: int,
        grad: Tensor,
        parts_grad: Tensor,
        blocks_grad: Tensor | None,
        pairs: Tensor | None = None,
    ) -> None:
        """Add what the gradient of one scale's answers gives for both factors.

        ``grad`` is what ``response`` answers with in shape; it is 0 for all but the ``pairs``.
        """
        u, v = self.spectrum.frequencies
        to_rows, to_columns = self._synthesis(scale)
        half = self._part_of(self._half, grad.shape[0], 2 * v, grad.shape[2])
        torch.bmm(to_columns.T.expand(grad.shape[0], -1, -1), grad, out=half)
        half = half.view(grad.shape[0], -1)
        answer = self._answer.view(2 * u, 2 * v, self.n * self.o)
        if pairs is None:
            torch.mm(to_rows.T, half, out=answer.view(2 * u, -1))
        else:
            wanted = (to_rows.T @ half).view(2 * u, 2 * v, -1)
            answer.zero_().index_copy_(2, pairs, wanted)
        self._accumulate_factors(scale, parts_grad, blocks_grad)

    def _accumulate_factors(
        self, scale: int, parts_grad: Tensor, blocks_grad: Tensor | None
    ) -> None:
        answer = self._answer
        if blocks_grad is not None:
            kernel = self._kernel_blocks(scale).transpose(1, 2)
            for p in PARTS:
                blocks_grad[p].baddbmm_(answer[p], kernel)
        kernel_grad = self._kernel.view(-1, 4 * self.c, self.o)
        torch.bmm(self.blocks[0].transpose(1, 2), answer[0], out=kernel_grad)
        kernel_grad.baddbmm_(self.blocks[1].transpose(1, 2), answer[1])
        transforms = self._transforms(scale)
        grads = parts_grad.split([transform.shape[1] for transform in transforms])
        for quadrant, (part, transform) in enumerate(zip(grads, transforms, strict=True)):
            part.addmm_(transform.T, self._kernel[:, quadrant])

    def _transforms(self, scale: int) -> tuple[Tensor, ...]:
        return self.spectrum.kernel_transforms(scale)

    def _kernel_blocks(self, scale: int) -> Tensor:
        for quadrant, transform in enumerate(self._transforms(scale)):
            torch.mm(transform, self.parts[quadrant], out=self._kernel[:, quadrant])
        return self._kernel.view(-1, 4 * self.c, self.o)

    def _synthesis(self, scale: int) -> tuple[Tensor, Tensor]:
        """The matrices (i, p u) and (j, v q) that bring back the answers of a scale."""
        rows, columns = self.spectrum.inner(scale)
        to_columns = self.spectrum.columns.synthesis[columns].transpose(1, 2)
        return self.spectrum.rows.synthesis[rows].flatten(1), to_columns.flatten(1)

    @staticmethod
    def _part_of(buffer: Tensor, *shape: int) -> Tensor:
        return buffer[: math.prod(shape)].view(shape)
