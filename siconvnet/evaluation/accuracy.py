"""Accuracy at each object scale, from one pass over the test images."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.fit import DivergedError, Images


@dataclass(frozen=True, slots=True)
class ScaleCount:
    """The images of one object scale (pixels): how many, how many right, loss summed in nats."""

    scale: int
    total: int
    correct: int
    loss_sum: float


class ScaleCounts:
    """Count correct answers and sum losses at each scale, one batch of images at a time.

    ``scales`` (N,) int64 is each image's object scale in pixels. Iterating passes the images
    through the model once and yields the images done so far after every batch, so that the caller
    can stop between two; ``result()`` then has a ScaleCount for each scale, ascending.

    Raises DivergedError from ``result`` if a loss is not finite.
    """

    def __init__(
        self, model: nn.Module, images: Images, scales: Tensor, *, batch_size: int
    ) -> None:
        self._model, self._images, self._batch_size = model, images, batch_size
        device = images.labels.device
        self._scales, self._rows = torch.unique(scales.to(device), return_inverse=True)
        # Images, correct ones and loss sum of each scale.
        self._sums = torch.zeros(len(self._scales), 3, dtype=torch.float64, device=device)

    @torch.no_grad()
    def __iter__(self) -> Iterator[int]:
        self._model.eval()
        self._sums.zero_()
        for start in range(0, len(self._images), self._batch_size):
            images, labels = self._images.batch(start, self._batch_size)
            logits = self._model(images)
            values = torch.stack(
                (
                    torch.ones_like(labels),
                    logits.argmax(dim=1) == labels,
                    F.cross_entropy(logits, labels, reduction="none"),
                ),
                dim=1,
            )
            rows = self._rows[start : start + self._batch_size]
            self._sums.index_add_(0, rows, values.double())
            yield start + len(labels)

    def result(self) -> tuple[ScaleCount, ...]:
        counts = tuple(
            ScaleCount(scale, int(total), int(correct), loss)
            for scale, (total, correct, loss) in zip(
                self._scales.tolist(), self._sums.tolist(), strict=True
            )
        )
        if not math.isfinite(sum(count.loss_sum for count in counts)):
            raise DivergedError("A test loss must be a finite number; it is not.")
        return counts
