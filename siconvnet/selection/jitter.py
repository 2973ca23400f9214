"""Selections moved a little while training, so that what learns bears the errors of a selection."""

import torch
from torch import Tensor, nn

from siconvnet.modes.constants import constant
from siconvnet.selection.blobs import Selection

ROOT = 1.2207440846057596  # of g^4 = g + 1; multiples of 1/g, 1/g^2, 1/g^3 fill a cube evenly
BITS = 32


class SelectionJitter(nn.Module):
    """While training, move what was selected: in every step otherwise, in every run alike.

    Each blob moves by up to ``place`` times its scale s along either axis and becomes up to
    ``octaves`` larger or smaller, evenly distributed. Blobs of one object are selected up to a
    tenth of an octave and some hundredths of s apart, and a classifier that never saw such
    differences mistakes them for others. In evaluation nothing moves.

    The moves are an additive recurrence of the number of blobs seen so far, the fractional parts of
    its multiples of 1/g, 1/g^2 and 1/g^3, and no random numbers: training that is saved with its
    buffers goes on as if it had not stopped.

    Shape:   a ``Selection`` of (N, K) -> a ``Selection`` of (N, K).
    Learned: nothing; ``seen`` () counts.
    Source:  ours; the recurrence: Roberts (2018), The unreasonable effectiveness of quasirandom
             sequences.

    >>> found = Selection(*torch.ones(5, 2, 1))
    >>> jitter = SelectionJitter(place=0.1, octaves=0.2)
    >>> bool((jitter(found).x - found.x).abs().max() <= 0.1), jitter.eval()(found) is found
    (True, True)
    """

    seen: Tensor

    def __init__(self, *, place: float, octaves: float) -> None:
        super().__init__()
        if place < 0 or octaves < 0:
            raise ValueError(
                f"A jitter's reach must be 0 or more; got place {place} and octaves {octaves}."
            )
        self.place, self.octaves = place, octaves
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, selection: Selection) -> Selection:
        if not self.training:
            return selection
        s = selection.scale
        number = self.seen + torch.arange(s.numel(), device=s.device).view(s.shape)
        self.seen += s.numel()
        moves = number * _multipliers(s.device)  # whole numbers: alike on every device
        moves = (moves + 2 ** (BITS - 1)) % 2**BITS  # the first is in the middle
        right, down, larger = (moves.to(s.dtype) * 2 ** (1 - BITS) - 1).unbind()
        return selection._replace(
            x=selection.x + self.place * s * right,
            y=selection.y + self.place * s * down,
            scale=s * 2 ** (self.octaves * larger),
        )

    def extra_repr(self) -> str:
        return f"place={self.place}, octaves={self.octaves}"


@constant
def _multipliers(device: torch.device) -> Tensor:
    """What the recurrence adds in units of 2^-BITS, for x, y and scale, (3, 1, 1)."""
    shares = [round(2**BITS / ROOT**power) for power in (1, 2, 3)]
    return torch.tensor(shares, dtype=torch.int64)[:, None, None].to(device)
