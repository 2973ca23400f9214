"""A study so small that its arithmetic can be remembered: what was computed once is looked up."""

import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lab.bars import write_bars
from siconvnet import MODELS, register_model
from siconvnet.evaluation.accuracy import ScaleCounts
from siconvnet.fit import Fit
from stir import STIRDataset

MODEL = "simulated"
_trained: dict[object, tuple[list[Tensor], Tensor]] = {}
_validated: dict[object, Tensor] = {}
_counted: dict[object, tuple[list[int], Tensor]] = {}


class Linear(nn.Module):
    """A linear map of what is left of an image at a sixteenth of its size."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, in_channels * 16) / 4)

    def forward(self, images: Tensor) -> Tensor:
        return F.linear(F.adaptive_avg_pool2d(images, 4).flatten(1), self.weight)


def _build(*, in_channels: int, num_classes: int, **options: Any) -> nn.Module:
    return Linear(in_channels, num_classes)


def register() -> None:
    if MODEL not in MODELS:
        register_model(MODEL, _build, version=1)


class RememberedDataset(STIRDataset):
    """Images that are selected once. Do not change them."""

    def select(
        self, split: str = "train", scales: Iterable[int] = (), shuffle: bool = True
    ) -> tuple[NDArray, NDArray]:
        return self._select(split, tuple(scales), shuffle)

    @cache  # noqa: B019  (there is one dataset, for ever)
    def _select(
        self, split: str, scales: tuple[int, ...], shuffle: bool
    ) -> tuple[NDArray, NDArray]:
        return super().select(split, scales, shuffle)


@cache
def dataset() -> RememberedDataset:
    """Bars at two angles."""
    with tempfile.TemporaryDirectory() as folder:
        return RememberedDataset(write_bars(Path(folder) / "bars.npz", classes=2))


class RememberedFit(Fit):
    """Fit; a batch that was trained before from the very same state is not computed again."""

    def _train_batch(self, start: int) -> None:
        (weight,) = self.model.parameters()
        state = self.optimizer.state.get(weight, {})
        before = [weight.detach(), *state.values(), self._sums]
        key = (start, self._lr, *map(_bytes, before))
        if key in _trained:
            (new, *moments), sums = _trained[key]
            weight.data.copy_(new)
            names = ("step", "exp_avg", "exp_avg_sq")
            self.optimizer.state[weight] = {
                name: moment.clone() for name, moment in zip(names, moments, strict=True)
            }
            self._sums.copy_(sums)
            return
        super()._train_batch(start)
        state = self.optimizer.state[weight]
        after = [weight.detach().clone(), *(moment.clone() for moment in state.values())]
        _trained[key] = after, self._sums.clone()

    def _valid_batch(self, start: int) -> None:
        (weight,) = self.model.parameters()
        key = (start, _bytes(weight.detach()), _bytes(self._sums))
        if key not in _validated:
            super()._valid_batch(start)
            _validated[key] = self._sums.clone()
        self._sums.copy_(_validated[key])

    @property
    def _lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]


class RememberedCounts(ScaleCounts):
    """ScaleCounts; what was counted before for the very same weights is not counted again."""

    def __iter__(self) -> Iterator[int]:
        (weight,) = self._model.parameters()
        key = _bytes(weight.detach())
        if key not in _counted:
            done = list(super().__iter__())
            _counted[key] = done, self._sums.clone()
        done, sums = _counted[key]
        yield from done
        self._sums.copy_(sums)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()
