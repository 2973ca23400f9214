"""Convolution answers by way of the frequency domain, as products of small real matrices.

A correlation is a product of the input's transform with the conjugate of the kernel's. With the
transforms written as matrices no padding to a friendly length is needed, only the wanted answers
are brought back, and every step is a batched matrix product. Rounding differs from that of
``conv2d`` by a few units in the last place of the *largest* answer, so these answers serve to
search for winners, not as results.

Axes in names and comments: n images, c channels in, o channels out, h and w pixels, i and j
answers, s scales, u frequencies along the columns (all), v along the rows (half; the rest is
conjugate), 2 real and imaginary part.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from siconvnet.modes.constants import constant


@dataclass(frozen=True, slots=True)
class Transform:
    """The discrete Fourier transform of a plane, as matrices; ``rows`` is its period along h."""

    rows: int
    columns: int
    dtype: torch.dtype
    device: torch.device

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of (B, h, w), each (V * U, B); it may be short of a period."""
        batch, height, width = x.shape
        half = half_waves(self.rows, height, self.dtype, self.device).flatten(0, 1)
        along_rows = half @ x.flatten(1).t().reshape(height, width * batch)
        along_rows = along_rows.view(2, -1, width, batch)
        shape = (along_rows.shape[1], -1, -1)
        waves = all_waves(self.columns, width, self.dtype, self.device)
        real, imag = (wave.expand(shape) for wave in waves)
        return (
            torch.bmm(real, along_rows[0]).baddbmm_(imag, along_rows[1], alpha=-1).flatten(0, 1),
            torch.bmm(imag, along_rows[0]).baddbmm_(real, along_rows[1]).flatten(0, 1),
        )

    def backward(self, real: Tensor, imag: Tensor, height: int, width: int) -> Tensor:
        """The first (height, width) pixels of the planes with these parts, (h, w, B)."""
        v, u = self.rows // 2 + 1, self.columns
        of_real, of_imag = inverse(u, width, self.dtype, self.device)
        along_rows = torch.bmm(of_real.expand(v, -1, -1), real.view(v, u, -1))
        along_rows.baddbmm_(of_imag.expand(v, -1, -1), imag.view(v, u, -1))
        synthesis = half_synthesis(self.rows, height, self.dtype, self.device).flatten(1)
        return (synthesis @ along_rows.view(2 * v, -1)).view(height, width, -1)


Matrix = Callable[[int, int, torch.dtype, torch.device], Tensor]


def matrix(make: Callable[[int, int], Tensor]) -> Matrix:
    """Keep a matrix that is made in double precision, as each dtype and device wants it."""

    @constant
    def made(period: int, pixels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        return make(period, pixels).to(dtype).contiguous().to(device)

    return made


def waves(frequencies: int, pixels: int, period: int) -> Tensor:
    """Real and imaginary part of exp(-2 pi i u x / period), (2, frequencies, pixels)."""
    turns = torch.outer(torch.arange(frequencies), torch.arange(pixels)) % period
    angle = turns.double() * (2 * math.pi / period)
    return torch.stack([angle.cos(), -angle.sin()])


@matrix
def all_waves(period: int, pixels: int) -> Tensor:
    """From pixels to all frequencies, (2, U, w)."""
    return waves(period, pixels, period)


@matrix
def half_waves(period: int, pixels: int) -> Tensor:
    """From pixels to the half of the frequencies that are kept, (2, V, h)."""
    return waves(period // 2 + 1, pixels, period)


@matrix
def inverse(period: int, pixels: int) -> Tensor:
    """From all frequencies to the first pixels: what a real and an imaginary part give for both.

    Shape: (2, (2 w), U).
    """
    cosine, minus_sine = waves(period, pixels, period).mT / period
    return torch.stack([torch.cat([cosine, -minus_sine]), torch.cat([minus_sine, cosine])])


@matrix
def half_synthesis(period: int, pixels: int) -> Tensor:
    """From the half of the frequencies that are kept to the first pixels, (h, V, 2)."""
    half = waves(period // 2 + 1, pixels, period)
    twice = torch.full((half.shape[1], 1), 2 / period, dtype=torch.float64)
    twice[0] /= 2  # the constant has no conjugate beside it,
    if period % 2 == 0:
        twice[-1] /= 2  # nor has the fastest wave of an even period
    return (half * twice).permute(2, 1, 0)


def spectral_answers(x: Tensor, kernels: Tensor) -> Tensor:
    """What ``conv2d`` answers at each scale without bias, up to rounding, with the places first.

    Shape: x (N, C, S, H, W), kernels (S, O, C, k, k) -> (I, J, S, N, O). Not differentiable.
    """
    (n, c, s, height, width), (_, o, _, *side) = x.shape, kernels.shape
    transform = Transform(height, width, x.dtype, x.device)
    x_snchw, kernels_scohw = x.permute(2, 0, 1, 3, 4), kernels.transpose(1, 2)
    x_real, x_imag = (
        part.view(-1, n, c) for part in transform.forward(x_snchw.flatten(0, 2))
    )  # (v u s) n c
    k_real, k_imag = (
        part.view(-1, c, o) for part in transform.forward(kernels_scohw.flatten(0, 2))
    )
    real = torch.bmm(x_real, k_real).baddbmm_(x_imag, k_imag)
    imag = torch.bmm(x_imag, k_real).baddbmm_(x_real, k_imag, alpha=-1)
    size = (height - side[0] + 1, width - side[1] + 1)
    return transform.backward(real, imag, *size).unflatten(2, (s, n, o))
