"""Training as an iterator that can stop between any two batches and resume there.

It uses no clock, no file and no random numbers; saving, reporting and stopping are the caller's.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.fit_state import require_state
from siconvnet.step_graphs import StepGraphs


class DivergedError(ArithmeticError):
    """A loss is no longer a finite number, so that training on would be useless."""


class LogitsError(ValueError):
    """A network's output is not one row of class scores for each image."""


def check_logits(logits: object, shape: tuple[int, int], name: str) -> Tensor:
    """A network's output, which must be floating-point logits of the shape (N, num_classes).

    Raises LogitsError that names the network ``name`` otherwise: cross-entropy and accuracy would
    be computed without an error from some other shapes, and mean something else.
    """
    if isinstance(logits, Tensor) and logits.shape == shape and logits.is_floating_point():
        return logits
    got = (
        f"{logits.dtype} {tuple(logits.shape)}"
        if isinstance(logits, Tensor)
        else f"an object of type {type(logits).__name__}"
    )
    raise LogitsError(
        f"{name} must return floating-point logits of the shape (N, num_classes), which is {shape} "
        f"here; got {got}."
    )


@dataclass(frozen=True, slots=True)
class Images:
    """Images and their classes, on the device they are used on.

    ``images`` (N, C, H, W) uint8, converted to float32 in [0, 1] a batch at a time;
    ``labels`` (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8:
            raise ValueError(
                "Images must be whole numbers 0..255 of dtype uint8, which leaves no room for NaN; "
                f"got {self.images.dtype}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Images":
        return Images(self.images.to(device), self.labels.to(device))

    def part(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """The ``size`` samples from ``start`` on (fewer at the end), as they lie there."""
        part = slice(start, start + size)
        return self.images[part], self.labels[part]

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """The same samples as a model takes them, in [0, 1]."""
        images, labels = self.part(start, size)
        return unit_range(images), labels


def unit_range(images: Tensor) -> Tensor:
    """Pixels 0..255 as float32 in [0, 1]."""
    return images.to(torch.float32).div_(255.0)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the training images gave. Losses are nats per image, accuracies 0..1."""

    number: int  # counted from 1
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float


@dataclass(frozen=True, slots=True)
class Step:
    """One batch done: where training stands, and the epoch if this batch was its last."""

    epoch: int  # counted from 1
    batch: int  # batches done in this epoch, validation batches after training batches
    batches: int  # in an epoch
    finished: Epoch | None


class Fit:
    """Train a model in place, one batch at a time, for as long as the caller keeps asking.

    Adam and cross-entropy over fixed batches: slices of ``train`` in the order given, the same in
    every epoch, the last one smaller. After every epoch the validation images are passed once.
    Iteration ends after ``max_epochs``, or after ``patience`` epochs in a row whose validation
    accuracy did not beat the best one (strictly). ``best_weights`` then holds the best epoch's.

    With ``stop_on_divergence``, iteration also ends with an epoch whose loss is not finite, which
    is not reported, if an epoch before it was: the published code would train on without ever
    beating that one. Without it, or if there is no such epoch, DivergedError is raised there.

    With ``num_classes``, every output must have the shape (N, num_classes); LogitsError, which
    calls the network ``name``, is raised before the first step otherwise.

    With ``capturable``, which says that of the model (see ``register_model``), steps on a CUDA
    device are recorded and replayed as CUDA graphs, the learning rate with them; elsewhere it
    changes nothing.

    ``state_dict()`` between any two batches holds all there is to go on from: training that was
    stopped, saved, loaded into a fresh ``Fit`` and continued gives the very same numbers.

    Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.3.

    >>> images = Images(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    >>> steps = list(Fit(model, images, images, lr=1e-3, max_epochs=2, batch_size=2))
    >>> [(step.epoch, step.batch, step.finished is not None) for step in steps][:4]
    [(1, 1, False), (1, 2, False), (1, 3, False), (1, 4, True)]
    """

    def __init__(
        self,
        model: nn.Module,
        train: Images,
        valid: Images,
        *,
        lr: float,
        max_epochs: int = 200,
        patience: int = 10,
        batch_size: int = 16,
        stop_on_divergence: bool = False,
        num_classes: int | None = None,
        name: str = "The network",
        capturable: bool = False,
    ) -> None:
        if not len(train) or not len(valid):
            raise ValueError(
                "Fit needs at least one training and one validation image; got "
                f"{len(train)} and {len(valid)}: give both sets images."
            )
        self.model = model
        self.train, self.valid = train, valid
        self.max_epochs, self.patience, self.batch_size = max_epochs, patience, batch_size
        self.stop_on_divergence = stop_on_divergence
        self.num_classes, self.name = num_classes, name
        device = train.labels.device
        graphs = capturable and device.type == "cuda"
        self._graphs = StepGraphs(device) if graphs else None
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=lr, capturable=graphs, fused=graphs or None
        )
        self.epoch = 1  # the one that the next batch belongs to
        self.batch = 0  # batches of it already done
        self.best: Epoch | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.train_batches = math.ceil(len(train) / batch_size)
        self._batches = self.train_batches + math.ceil(len(valid) / batch_size)
        # Loss sum and number correct, of training and of validation; read once an epoch.
        self._sums = torch.zeros(2, 2, dtype=torch.float64, device=device)

    @property
    def done(self) -> bool:
        return self.epoch > self._last_epoch

    @property
    def _last_epoch(self) -> int:
        """The last epoch to train unless a better one comes before it."""
        best_epoch = self.best.number if self.best else 0
        return min(self.max_epochs, best_epoch + self.patience)

    def __iter__(self) -> Iterator[Step]:
        while not self.done:
            yield self._step()
        if self._graphs:
            self._graphs.forget()

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, so that it loads with ``weights_only=True``."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": self._sums,
            "best": asdict(self.best) if self.best else None,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken, given the same images and arguments.

        Raises ValueError, before anything is changed, for one that cannot be of such a Fit.
        """
        require_state(
            state,
            self.state_dict(),
            parameters=list(self.model.parameters()),
            last_epoch=self.max_epochs,
            batches=self._batches,
        )
        self.model.load_state_dict(state["model"])
        # How Adam computes is this one's choice: the state may be from another kind of device.
        how = {name: self.optimizer.param_groups[0][name] for name in ("capturable", "fused")}
        groups = [group | how for group in state["optimizer"]["param_groups"]]
        self.optimizer.load_state_dict(state["optimizer"] | {"param_groups": groups})
        if self._graphs:
            self._graphs.forget()
        self.epoch, self.batch = state["epoch"], state["batch"]
        self._sums.copy_(state["sums"])
        self.best = Epoch(**state["best"]) if state["best"] else None
        self.best_weights = state["best_weights"]

    def _step(self) -> Step:
        training = self.batch < self.train_batches
        if training:
            start = self.batch * self.batch_size
            self._run(self._train_batch, *self.train.part(start, self.batch_size))
        else:
            start = (self.batch - self.train_batches) * self.batch_size
            self._run(self._valid_batch, *self.valid.part(start, self.batch_size))
        epoch, self.batch = self.epoch, self.batch + 1
        batch = self.batch
        finished = self._finish_epoch() if batch == self._batches else None
        return Step(epoch, batch, self._batches, finished)

    def _run(self, step: Callable[[Tensor, Tensor], None], images: Tensor, labels: Tensor) -> None:
        if self._graphs:
            self._graphs.run(step, images, labels)
        else:
            step(images, labels)

    def _train_batch(self, images: Tensor, labels: Tensor) -> None:
        self.model.train()
        self.optimizer.zero_grad()
        logits = self._logits(unit_range(images))
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        self.optimizer.step()
        self._count(0, loss.detach(), logits.detach(), labels)

    @torch.no_grad()
    def _valid_batch(self, images: Tensor, labels: Tensor) -> None:
        self.model.eval()
        logits = self._logits(unit_range(images))
        self._count(1, F.cross_entropy(logits, labels), logits, labels)

    def _logits(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        if self.num_classes is None:
            return logits
        return check_logits(logits, (len(images), self.num_classes), self.name)

    def _count(self, row: int, mean_loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self._sums[row, 0] += mean_loss.double() * len(labels)
        self._sums[row, 1] += (logits.argmax(dim=1) == labels).sum()

    def _finish_epoch(self) -> Epoch | None:
        (train_loss, train_correct), (valid_loss, valid_correct) = self._sums.tolist()
        result = Epoch(
            number=self.epoch,
            train_loss=train_loss / len(self.train),
            train_accuracy=train_correct / len(self.train),
            valid_loss=valid_loss / len(self.valid),
            valid_accuracy=valid_correct / len(self.valid),
        )
        if not math.isfinite(train_loss + valid_loss):
            if self.stop_on_divergence and self.best:
                self._begin(self._last_epoch + 1)
                return None
            raise DivergedError(
                f"A loss must be a finite number; in epoch {self.epoch} training gave "
                f"{result.train_loss} and validation {result.valid_loss}. A smaller learning rate "
                "may help."
            )
        if self.best is None or result.valid_accuracy > self.best.valid_accuracy:
            self.best = result
            self.best_weights = {
                key: value.detach().clone() for key, value in self.model.state_dict().items()
            }
        self._begin(self.epoch + 1)
        return result

    def _begin(self, epoch: int) -> None:
        self.epoch, self.batch = epoch, 0
        self._sums.zero_()
