"""The DISCO basis: least equivariance error at scales that no dilation of a pixel grid reaches.

At scales 1 and 2 a base kernel is a unit impulse, dilated: exact. At 1.26 and 1.59 it is free, and
is whatever makes two orders of doing things agree best, over all pairs of scales i < j,

    resize(image * kernel_j, scale_i / scale_j)  =  resize(image, scale_i / scale_j) * kernel_i

on white noise. Every step is linear and separable, so the expected squared difference is a
quadratic form in the kernels with the same matrices for all of them: one small linear system.

Source: Sosnovik et al. (2021), arXiv:2106.02733, section 3, where Adam does this on noise images.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from siconvnet.bases.disk_cache import remembered
from siconvnet.bases.hermite import SIDE, hermite_functions, normalised
from siconvnet.modes.constants import constant

KERNEL_SIZE = 7  # pixels, of a base kernel at scale 1
SCALES = (1.0, 1.26, 1.59, 2.0)
DILATIONS = {0: 1, 3: 2}  # index of an exact scale -> dilation
FREE = (1, 2)  # indices of the other scales
WIDTH = SHRINK = 1.9  # of the Hermite functions that mix the base kernels; width in pixels
IMAGE_SIDE = 64  # pixels, of the white noise
MARGIN = 8  # pixels at each border of a resized image that do not count
REWEIGHTINGS = 2  # see least_error_kernels
VERSION = 1  # raised when a change of the code moves the basis


def disco_basis(kernel_size: int) -> Tensor:
    """The least-error base kernels mixed to Hermite functions, (49, 4, 15, 15) float32."""
    if kernel_size != KERNEL_SIZE:
        raise ValueError(
            f"kernel_size of the disco basis must be {KERNEL_SIZE}, the only one it is defined "
            f"for; got {kernel_size}."
        )
    return _kept_basis()


@constant
def _kept_basis() -> Tensor:
    inputs = (VERSION, SCALES, DILATIONS, WIDTH, IMAGE_SIDE, MARGIN, REWEIGHTINGS)
    return remembered(
        "disco", inputs, (KERNEL_SIZE**2, len(SCALES), SIDE, SIDE), compute_disco_basis
    )


def compute_disco_basis(reweightings: int = REWEIGHTINGS) -> Tensor:
    """The DISCO basis from nothing, (49, 4, 15, 15) float64, in some tenths of a second.

    The published basis solves for 49 impulses and mixes the answers to Hermite functions. Solving
    is linear: mixing the impulses first gives the same.
    """
    functions = hermite_functions(KERNEL_SIZE, width=WIDTH, shrink=SHRINK, count=KERNEL_SIZE**2)
    functions = normalised(functions[:, None])[:, 0]
    kernels = functions.new_zeros(len(functions), len(SCALES), SIDE, SIDE)
    for scale, dilation in DILATIONS.items():
        start = SIDE // 2 - dilation * (KERNEL_SIZE // 2)
        taps = slice(start, start + dilation * (KERNEL_SIZE - 1) + 1, dilation)
        kernels[:, scale, taps, taps] = functions
    # The last bits depend on the processor; models should not.
    return least_error_kernels(kernels, reweightings).round(decimals=7)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as more add up in another order; then as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def least_error_kernels(kernels: Tensor, reweightings: int) -> Tensor:
    """``kernels`` with the free scales replaced by those of least error, given the exact ones.

    A sum of squared errors is led by the pairs of scales that cannot agree well. So the pairs are
    weighted, by 1 / (error * size of what is compared) after a first solution with equal weights,
    which turns the sum towards the mean of *relative, not squared* errors. Two such rounds reach
    that mean's minimum to 1e-4; it is below the published basis's, which equal weights are not.

    Shape: (functions, 4, 15, 15), float64, and the same.
    """
    forms = expected_forms()
    solved = _solved(kernels, forms, [1.0] * len(forms))
    for _ in range(reweightings):
        weights = []
        for form in forms:
            error, size = form.error_and_size(solved)
            weights.append(float((error * size).clamp_min(1e-9).reciprocal().mean()))
        solved = _solved(kernels, forms, weights)
    return solved


def _solved(kernels: Tensor, forms: Sequence["PairForm"], weights: Sequence[float]) -> Tensor:
    """Minimise the weighted sum of squared errors over the free scales' kernels."""
    taps = SIDE**2
    normal = kernels.new_zeros(len(SCALES), len(SCALES), taps, taps)
    for form, weight in zip(forms, weights, strict=True):
        i, j = form.scale, form.larger
        normal[i, i] += weight * form.scale_scale
        normal[j, j] += weight * form.larger_larger
        normal[j, i] -= weight * form.larger_scale
        normal[i, j] -= weight * form.larger_scale.T
    matrix = torch.cat([torch.cat([normal[a, b] for b in FREE], dim=1) for a in FREE])
    exact = torch.cat([kernels[:, b].flatten(1) for b in DILATIONS], dim=1)
    pull = torch.cat([torch.cat([normal[a, b] for b in DILATIONS], dim=1) for a in FREE])
    free = torch.linalg.solve(matrix, -pull @ exact.T).T
    answer = kernels.clone()
    answer[:, FREE] = free.reshape(-1, len(FREE), SIDE, SIDE)
    return answer


class PairForm(NamedTuple):
    """The expected squared difference of one pair of scales as a quadratic form in two kernels.

    With both kernels as vectors of 225 taps, it is
    ``larger' LL larger - 2 larger' LS scale + scale' SS scale``.
    """

    scale: int  # index into SCALES
    larger: int
    larger_larger: Tensor
    larger_scale: Tensor
    scale_scale: Tensor

    def error_and_size(self, basis: Tensor) -> tuple[Tensor, Tensor]:
        """Root of the expected squared difference, and of the larger kernel's resized answer.

        Shape: (functions, 4, 15, 15) -> (functions,) and (functions,).
        """
        larger = basis[:, self.larger].flatten(1)
        scale = basis[:, self.scale].flatten(1)
        size = torch.einsum("fp,pq,fq->f", larger, self.larger_larger, larger)
        cross = torch.einsum("fp,pq,fq->f", larger, self.larger_scale, scale)
        other = torch.einsum("fp,pq,fq->f", scale, self.scale_scale, scale)
        return (size - 2 * cross + other).clamp_min(0).sqrt(), size.sqrt()


def expected_forms() -> list[PairForm]:
    """One form for each pair of scales, the smaller first."""
    return [_expected_form(i, j) for i, j in combinations(range(len(SCALES)), 2)]


def _expected_form(scale: int, larger: int) -> PairForm:
    """Count how each tap of either kernel spreads white noise over the pixels that count.

    Both orders of doing things are linear in the image and separable. Along one axis, ``spread``
    (tap, output pixel, image pixel) says what a tap adds; products of two taps, summed over
    pixels, are the axis's form, and the Kronecker square is the image's.
    """
    resize = image_resize_matrix(SCALES[scale] / SCALES[larger])
    outputs = torch.arange(MARGIN, len(resize) - MARGIN)
    offsets = range(-(SIDE // 2), SIDE // 2 + 1)
    convolved = torch.stack([resize[outputs].roll(offset, dims=1) for offset in offsets]).flatten(1)
    resized = torch.stack([resize[outputs + offset] for offset in offsets]).flatten(1)
    axes = (convolved @ convolved.T, convolved @ resized.T, resized @ resized.T)
    return PairForm(scale, larger, *(torch.kron(axis, axis) for axis in axes))


def image_resize_matrix(factor: float) -> Tensor:
    """Bicubic resizing of IMAGE_SIDE pixels along one axis, (new side, IMAGE_SIDE) float64."""
    columns = torch.eye(IMAGE_SIDE, dtype=torch.float64)[None, None]
    resized = F.interpolate(
        columns, scale_factor=(factor, 1.0), mode="bicubic", align_corners=False
    )
    return resized[0, 0]


def relative_errors(basis: Tensor) -> Tensor:
    """Expected equivariance error of each pair of scales and function, relative to the answer.

    Shape: (functions, 4, 15, 15) -> (6, functions); pairs in the order of expected_forms().
    """
    pairs = [form.error_and_size(basis.double()) for form in expected_forms()]
    return torch.stack([error / size for error, size in pairs])
