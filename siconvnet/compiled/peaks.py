"""The peaks of rows of answers, as a search leaves them, and which of them is the largest.

The structure is that of ``src/peaks.h``.
"""

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from siconvnet.compiled.library import Library
from siconvnet.compiled.tables import Pointer


class PeaksStruct(ctypes.Structure):
    """The peaks of rows of answers."""

    _fields_ = (("largest", Pointer), ("column", Pointer), ("lowest", Pointer))


@dataclass(frozen=True, slots=True)
class RowPeaks:
    """The peaks of all rows of all scales, (S, I, n filled o)."""

    largest: Tensor
    column: Tensor
    lowest: Tensor

    def struct(self, scale: int = 0) -> PeaksStruct:
        """Where the peaks from a scale on are to be written."""
        return PeaksStruct(
            *(peaks[scale].data_ptr() for peaks in (self.largest, self.column, self.lowest))
        )

    def first(
        self, library: Library, n: int, o: int, *, by_pixel: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scale, row and column of the largest answers, the first within rounding of it, (n, o).

        Scales come before rows, and rows before columns; scales last with ``by_pixel``.
        """
        scales, rows, lanes = self.largest.shape
        places = torch.empty(3, lanes, dtype=torch.int32)
        library.call("first_peaks", self.struct(), scales, rows, lanes, int(by_pixel), *places)
        scale, row, column = places.view(3, n, -1)[..., :o].contiguous()
        return scale, row, column


def empty_peaks(scales: int, rows: int, lanes: int) -> RowPeaks:
    """Peaks of rows that were not searched yet."""
    return RowPeaks(
        torch.full((scales, rows, lanes), -torch.inf),
        torch.zeros(scales, rows, lanes, dtype=torch.int32),
        torch.zeros(scales, rows, lanes),
    )
