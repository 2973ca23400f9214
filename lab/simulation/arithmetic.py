"""A study so small that its arithmetic can be remembered, and its tensors be written as text."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lab.bars import write_bars
from siconvnet import MODELS, register_model
from siconvnet.evaluation.accuracy import ScaleCount, ScaleCounts
from siconvnet.fit import Epoch, Fit, Step
from stir import STIRDataset

MODEL = "simulated"
_moments: dict[object, "Moment"] = {}
_fits: dict[object, tuple[Fit, "Moment"]] = {}  # each with its state before the first batch
_counted: dict[object, tuple[list[int], tuple[ScaleCount, ...]]] = {}
REMEMBERED = 256  # answers of a function that always answers alike
_TENSOR = "tensor"  # the only key of an object that stands for one
_END = b"PK\5\6" + bytes(18)  # of a zip archive without a comment
_states: dict[int, tuple[dict[str, Any], str]] = {}  # of Fits, by their place in memory


class Linear(nn.Module):
    """A linear map of what is left of an image at a sixteenth of its size."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, in_channels * 16) / 4)

    def to(self, *where: Any, **options: Any) -> Self:
        return self  # it is there

    def forward(self, images: Tensor) -> Tensor:
        return F.linear(F.adaptive_avg_pool2d(images, 4).flatten(1), self.weight)


def _build(*, in_channels: int, num_classes: int, **options: Any) -> nn.Module:
    return _seeded(in_channels, num_classes, torch.initial_seed())


@cache
def _seeded(in_channels: int, num_classes: int, seed: int) -> nn.Module:
    """One model for all trials of a seed, each of which loads its weights before it uses it."""
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


@dataclass(eq=False, slots=True)
class Moment:
    """Training between two batches; ``step`` and ``next`` are what comes of the next one.

    ``state`` is that of a Fit. Do not change it.
    """

    state: dict[str, Any]
    best: Epoch | None
    step: Step | None = None
    next: "Moment | None" = None


class RememberedFit(Fit):
    """Fit; a batch that was trained before from the very same state is not computed again.

    What computes is one Fit for all of a seed and a learning rate, which is put into the state to
    go on from whenever it is needed.
    """

    def __init__(self, model: nn.Module, *arguments: Any, lr: float, **options: Any) -> None:
        key = model, lr
        if key not in _fits:
            fit = Fit(model, *arguments, lr=lr, **options)
            _fits[key] = fit, _remember(fit)
        self._fit, moment = _fits[key]
        self.__dict__.update(self._fit.__dict__)
        self._stand(moment)

    def state_dict(self) -> dict[str, Any]:
        return self._moment.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        moment = _moments.get((_rate(self._fit), _key(state)))
        if moment is None:
            self._fit.load_state_dict(deepcopy(state))
            moment = _remember(self._fit)
        self._stand(moment)

    def _step(self) -> Step:
        moment = self._moment
        if not moment.next or not moment.step:
            self._fit.load_state_dict(deepcopy(moment.state))
            moment.step = self._fit._step()
            moment.next = _remember(self._fit)
        self._stand(moment.next)
        return moment.step

    def _stand(self, moment: Moment) -> None:
        self._moment, self.best, state = moment, moment.best, moment.state
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.best_weights = state["best_weights"]


class RememberedCounts(ScaleCounts):
    """ScaleCounts; what was counted before for the very same weights is not counted again."""

    def __init__(self, model: nn.Module, *arguments: Any, **options: Any) -> None:
        self._model, self._rest = model, (arguments, options)

    def __iter__(self) -> Iterator[int]:
        key = _key(self._model.state_dict())
        if key not in _counted:
            arguments, options = self._rest
            counts = ScaleCounts(self._model, *arguments, **options)
            _counted[key] = list(counts), counts.result()
        done, self._result = _counted[key]
        yield from done

    def result(self) -> tuple[ScaleCount, ...]:
        return self._result


def _remember(fit: Fit) -> Moment:
    state = fit.state_dict()
    key = _rate(fit), _key(state)
    if key not in _moments:
        _moments[key] = Moment(deepcopy(state), fit.best)
    return _moments[key]


def _rate(fit: Fit) -> float:
    return fit.optimizer.param_groups[0]["lr"]


def _key(value: Any) -> Any:
    """What tensors and plain values hold, so that it can be looked up."""
    if isinstance(value, Tensor):
        return value.detach().numpy().tobytes()
    if isinstance(value, Mapping):
        return tuple((name, _key(entry)) for name, entry in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_key, value))
    return value


def tensors_to_bytes(content: dict[str, Any]) -> bytes:
    """What has the end of an archive, so that it is sealed like one; before it two lines of JSON.

    The first is the ``fit`` in ``content``, if it has one: a state that is never changed.
    """
    rest = dict(content)
    fit = _state(rest.pop("fit")) if "fit" in rest else ""
    return f"{fit}\n{json.dumps(rest, default=_written)}".encode() + _END


def tensors_from_bytes(data: bytes) -> dict[str, Any]:
    """What was given to ``tensors_to_bytes``; lists for tuples. Do not change its ``fit``."""
    fit, _, rest = data.removesuffix(_END).decode().partition("\n")
    return ({"fit": _state_of(fit)} if fit else {}) | json.loads(rest, object_hook=_read)


def _state(state: dict[str, Any]) -> str:
    if id(state) not in _states:
        _states[id(state)] = state, json.dumps(state, default=_written)
    return _states[id(state)][1]


@lru_cache(REMEMBERED)
def _state_of(text: str) -> dict[str, Any]:
    return json.loads(text, object_hook=_read)


def _written(tensor: Tensor) -> dict[str, Any]:
    array = tensor.numpy()
    return {_TENSOR: [array.dtype.name, array.shape, array.tobytes().hex()]}


def _read(value: dict[str, Any]) -> Any:
    if value.keys() != {_TENSOR}:
        return {int(name) if name.isdigit() else name: entry for name, entry in value.items()}
    name, shape, digits = value[_TENSOR]
    return torch.frombuffer(bytearray.fromhex(digits), dtype=getattr(torch, name)).reshape(shape)
