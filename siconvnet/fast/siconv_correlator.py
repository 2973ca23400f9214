"""A batch of images correlated with the kernels of a ``SiConv2d``, one group of scales at a time.

Axes as in ``siconv_spectrum``.
"""

import math

import torch
from torch import Tensor

from siconvnet.fast.siconv_spectrum import PARTS, ScaleGroup, Spectrum


class Correlator:
    """Images and kernels of one call, and the buffers that all groups share.

    ``answers`` gives those of one group after another; ``accumulate`` takes their gradients back to
    the images' blocks and the kernels' parts.
    """

    def __init__(self, spectrum: Spectrum, blocks: Tensor, parts: Tensor) -> None:
        self.spectrum = spectrum
        self.blocks = blocks
        self.n = blocks.shape[2] // 2
        self.c = blocks.shape[3] // 4
        self.o = parts.shape[1] // self.c
        self.parts = parts.split(spectrum.taps)
        u, v = spectrum.frequencies
        largest = max(len(group.scales) for group in spectrum.groups)
        height, width = spectrum.answer_size
        answers = self.n * self.o * largest
        self._kernel = blocks.new_empty(u * v * 4 * self.c * self.o * largest)
        self._answer = blocks.new_empty(4 * u * v * answers)
        self._half = blocks.new_empty(height * 2 * v * answers)
        self._response = blocks.new_empty(height * width * answers)

    def answers(self, group: ScaleGroup, pairs: Tensor | None = None) -> Tensor:
        """Answers of a group, (i, j, n, o, s), without bias, overwritten by the next group's.

        Where a scale does not reach they mean nothing. With ``pairs`` only those of some images and
        channels, counted along (n o), are answered: (i, j, pairs, 1, s).
        """
        kernel = self._kernels(group)
        found = self._parts_of_answers(group)
        for p in PARTS:
            torch.bmm(self.blocks[p], kernel, out=found[p])
        u, v = self.spectrum.frequencies
        shape = (self.n, self.o, len(group.scales))
        if pairs is not None:
            found = found.view(4 * u * v, self.n * self.o, -1).index_select(1, pairs)
            shape = (len(pairs), 1, len(group.scales))
        i, j, wanted = len(group.to_rows), len(group.to_columns), math.prod(shape)
        half = self._half[: i * 2 * v * wanted].view(i, 2 * v * wanted)
        torch.mm(group.to_rows, found.view(2 * u, -1), out=half)
        answers = self._response[: i * j * wanted].view(i, j, wanted)
        to_columns = group.to_columns.expand(i, -1, -1)
        return torch.bmm(to_columns, half.view(i, 2 * v, wanted), out=answers).view(i, j, *shape)

    def accumulate(
        self,
        group: ScaleGroup,
        grad: Tensor,
        parts_grad: Tensor,
        blocks_grad: Tensor | None,
        pairs: Tensor | None = None,
    ) -> None:
        """Add what the gradient of a group's answers gives for both factors.

        ``grad`` has the shape of ``answers``. It is 0 where a scale does not reach, and, given
        ``pairs``, for all others.
        """
        u, v = self.spectrum.frequencies
        i, j, wanted = grad.shape[0], grad.shape[1], math.prod(grad.shape[2:])
        half = self._half[: i * 2 * v * wanted].view(i, 2 * v, wanted)
        torch.bmm(group.to_columns.T.expand(i, -1, -1), grad.reshape(i, j, wanted), out=half)
        found = self._parts_of_answers(group)
        if pairs is None:
            torch.mm(group.to_rows.T, half.view(i, -1), out=found.view(2 * u, -1))
        else:
            of_pairs = (group.to_rows.T @ half.view(i, -1)).view(4 * u * v, len(pairs), -1)
            whole = found.view(4 * u * v, self.n * self.o, -1)
            whole.zero_().index_copy_(1, pairs, of_pairs)
        self._accumulate_factors(group, found, parts_grad, blocks_grad)

    def _accumulate_factors(
        self, group: ScaleGroup, grad: Tensor, parts_grad: Tensor, blocks_grad: Tensor | None
    ) -> None:
        if blocks_grad is not None:
            kernel = self._kernels(group).transpose(1, 2)
            for p in PARTS:
                blocks_grad[p].baddbmm_(grad[p], kernel)
        size = (len(self.blocks[0]), 4 * self.c, self.o * len(group.scales))
        kernel_grad = self._kernel[: math.prod(size)].view(size)
        torch.bmm(self.blocks[0].transpose(1, 2), grad[0], out=kernel_grad)
        kernel_grad.baddbmm_(self.blocks[1].transpose(1, 2), grad[1])
        kernel_grad = kernel_grad.view(size[0], 4, self.c * self.o, -1).permute(1, 0, 3, 2)
        kernel_grad = kernel_grad.reshape(4, -1, self.c * self.o)
        parts_grads = parts_grad.split(self.spectrum.taps)
        transforms = self.spectrum.transforms(group)
        for part, transform, grad in zip(parts_grads, transforms, kernel_grad, strict=True):
            part.addmm_(transform.flatten(0, 1).T, grad)

    def _kernels(self, group: ScaleGroup) -> Tensor:
        """The parts of the kernels of a group, (u v, (P Q c), (o s))."""
        scales, both = len(group.scales), self.c * self.o
        u, v = self.spectrum.frequencies
        kernel = self._kernel[: u * v * 4 * both * scales].view(u * v, 4, both, scales)
        transforms = self.spectrum.transforms(group)
        for quadrant, (transform, part) in enumerate(zip(transforms, self.parts, strict=True)):
            if scales == 1:
                torch.mm(transform.flatten(0, 1), part, out=kernel[:, quadrant, :, 0])
            else:
                of_all = part.T.expand(u * v, -1, -1)
                torch.bmm(of_all, transform.transpose(1, 2), out=kernel[:, quadrant])
        return kernel.view(u * v, 4 * self.c, self.o * scales)

    def _parts_of_answers(self, group: ScaleGroup) -> Tensor:
        """Room for the parts of a group's answers, (p, u v, (q n), (o s))."""
        u, v = self.spectrum.frequencies
        shape = (2, u * v, 2 * self.n, self.o * len(group.scales))
        return self._answer[: math.prod(shape)].view(shape)
