"""Convolution answers by way of the frequency domain, as products of small real matrices.

A correlation is a product of the input's transform with the conjugate of the kernel's. With the
transforms written as matrices no padding to a friendly length is needed, only the wanted answers
are brought back, and every step is a batched matrix product. Rounding differs from that of
``conv2d`` by a few units in the last place of the *largest* answer, so these answers serve to
search for winners, not as results.

Axes in names and comments: n images, c channels in, o channels out, h and w pixels, i and j
answers, u frequencies along the columns (all), v along the rows (half; the rest is conjugate),
2 real and imaginary part.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor


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
        half = torch.cat(self.waves(self.rows // 2 + 1, height, self.rows))
        along_rows = (half @ x.flatten(1).t().reshape(height, -1)).view(2, -1, width, batch)
        real, imag = self.waves(self.columns, width, self.columns)
        shape = (along_rows.shape[1], -1, -1)
        real, imag = real.expand(shape), imag.expand(shape)
        return (
            torch.bmm(real, along_rows[0]).baddbmm_(imag, along_rows[1], alpha=-1).flatten(0, 1),
            torch.bmm(imag, along_rows[0]).baddbmm_(real, along_rows[1]).flatten(0, 1),
        )

    def backward(self, real: Tensor, imag: Tensor, height: int, width: int) -> Tensor:
        """The first (height, width) pixels of the planes with these parts, (h, w, B)."""
        v, u = self.rows // 2 + 1, self.columns
        cosine, sine = (wave.T / u for wave in self.waves(u, width, u))
        first, second = torch.cat([cosine, -sine]), torch.cat([sine, cosine])
        along_rows = torch.bmm(first.expand(v, -1, -1), real.view(v, u, -1))
        along_rows.baddbmm_(second.expand(v, -1, -1), imag.view(v, u, -1))
        synthesis = self.row_synthesis(height)
        return (synthesis @ along_rows.view(2 * v, -1)).view(height, width, -1)

    def row_synthesis(self, height: int) -> Tensor:
        """From the half of the frequencies that are kept to the first pixels, (h, V * 2)."""
        frequencies = self.rows // 2 + 1
        waves = torch.stack(self.waves(frequencies, height, self.rows), dim=1)
        twice = torch.full((frequencies, 1, 1), 2 / self.rows, dtype=self.dtype, device=self.device)
        twice[0] /= 2  # the constant has no conjugate beside it,
        if self.rows % 2 == 0:
            twice[-1] /= 2  # nor has the fastest wave of an even period
        return (waves * twice).flatten(0, 1).T

    def waves(self, frequencies: int, pixels: int, period: int) -> tuple[Tensor, Tensor]:
        return waves(frequencies, pixels, period, self.dtype, self.device)


@functools.lru_cache(maxsize=256)
def waves(
    frequencies: int, pixels: int, period: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of exp(-2 pi i u x / period), (frequencies, pixels)."""
    with torch.inference_mode(False):
        turns = torch.outer(torch.arange(frequencies), torch.arange(pixels)) % period
        angle = turns.double() * (2 * math.pi / period)
        return angle.cos().to(device, dtype), -angle.sin().to(device, dtype)


def spectral_answers(x: Tensor, kernels: Tensor) -> Tensor:
    """What ``conv2d`` answers without bias, up to rounding, with the places first.

    Shape: x (N, C, H, W), kernels (O, C, k, k) -> (I, J, N, O). Not differentiable.
    """
    (n, c, height, width), (o, _, *side) = x.shape, kernels.shape
    transform = Transform(height, width, x.dtype, x.device)
    x_real, x_imag = (part.view(-1, n, c) for part in transform.forward(x.flatten(0, 1)))
    k_real, k_imag = (
        part.view(-1, c, o) for part in transform.forward(kernels.transpose(0, 1).flatten(0, 1))
    )
    real = torch.bmm(x_real, k_real).baddbmm_(x_imag, k_imag)
    imag = torch.bmm(x_imag, k_real).baddbmm_(x_real, k_imag, alpha=-1)
    size = (height - side[0] + 1, width - side[1] + 1)
    return transform.backward(real, imag, *size).unflatten(2, (n, o))
