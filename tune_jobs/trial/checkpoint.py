"""Where a trial that is cut off goes on: everything it has learnt so far, in one object."""

import io
import json
import logging
import math
import platform
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pydantic import TypeAdapter

from tune_jobs.records.keys import checkpoint_key
from tune_jobs.records.schema import time_of
from tune_jobs.records.trial import EpochRecord, LostCheckpoint, Resumption, utc_now
from tune_jobs.redaction import redact
from tune_jobs.storage import DamagedError, Storage

logger = logging.getLogger("tune_jobs")
REASON_CHARACTERS = 300
OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError, torch.AcceleratorError)
_LISTS: dict[str, TypeAdapter[Any]] = {
    "epochs": TypeAdapter(tuple[EpochRecord, ...]),
    "resumptions": TypeAdapter(tuple[Resumption, ...]),
    "lost_checkpoints": TypeAdapter(tuple[LostCheckpoint, ...]),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A trial between two batches. ``fit`` is siconvnet.fit.Fit's state."""

    fit: dict[str, Any]
    epochs: tuple[EpochRecord, ...]
    resumptions: tuple[Resumption, ...]
    started_at: str
    wall_seconds: float  # spent so far
    epoch_seconds: float  # of those, in the epoch that is not finished
    # Of these, in batches; NaN in checkpoints of versions that did not time them.
    train_seconds: float = math.nan
    valid_seconds: float = math.nan
    lost_checkpoints: tuple[LostCheckpoint, ...] = ()

    @property
    def position(self) -> tuple[int, int]:
        """The epoch (from 1) and batch (from 0) that come next."""
        return self.fit["epoch"], self.fit["batch"]


def write_checkpoint(storage: Storage, point_id: str, checkpoint: Checkpoint) -> None:
    content = {
        "fit": checkpoint.fit,
        "epochs": [asdict(epoch) for epoch in checkpoint.epochs],
        "resumptions": [asdict(resumption) for resumption in checkpoint.resumptions],
        "started_at": checkpoint.started_at,
        "wall_seconds": checkpoint.wall_seconds,
        "epoch_seconds": checkpoint.epoch_seconds,
        "train_seconds": checkpoint.train_seconds,
        "valid_seconds": checkpoint.valid_seconds,
        "lost_checkpoints": [asdict(one) for one in checkpoint.lost_checkpoints],
    }
    storage.write(checkpoint_key(point_id), tensors_to_bytes(content))


def load_checkpoint(storage: Storage, point_id: str) -> Checkpoint | LostCheckpoint | None:
    """The checkpoint of a point, on the CPU, or why it cannot be used; None if there is none.

    Whatever is amiss with it (damage, another version) is no error: nothing but time is lost by
    training anew, where an error would come back at every attempt.
    """
    try:
        data = storage.read(checkpoint_key(point_id))
    except FileNotFoundError:
        return None
    except DamagedError as error:
        return lost(point_id, error)
    try:
        return _checkpoint(tensors_from_bytes(data))
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # what torch and zip raise for damaged bytes has no end
        return lost(point_id, error)


def read_checkpoint(storage: Storage, point_id: str) -> Checkpoint | None:
    """The checkpoint of a point, on the CPU; None if there is none that can be used."""
    found = load_checkpoint(storage, point_id)
    return found if isinstance(found, Checkpoint) else None


def lost(point_id: str, error: Exception) -> LostCheckpoint:
    """What a record says of a checkpoint that turned out to be of no use; it is logged as well."""
    reason = redact(f"{type(error).__name__}: {' '.join(str(error).split())}")[:REASON_CHARACTERS]
    logger.warning("The checkpoint of %s is not used; training begins anew: %s", point_id, reason)
    return LostCheckpoint(at=utc_now(), host=platform.node(), reason=reason)


def _checkpoint(content: dict[str, Any]) -> Checkpoint:
    plain: dict[str, Any] = {"lost_checkpoints": []} | content
    fit = plain.pop("fit")
    lists = {name: _LISTS[name].validate_json(json.dumps(plain.pop(name))) for name in _LISTS}
    time_of(plain["started_at"])
    checkpoint = Checkpoint(fit=fit, **lists, **plain)
    numbers = [epoch.epoch for epoch in checkpoint.epochs]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) >= checkpoint.position[0]:
        raise ValueError(f"Epochs must be those before {checkpoint.position}; got {numbers!s:.60}.")
    seconds = (checkpoint.wall_seconds, checkpoint.epoch_seconds)
    if not all(isinstance(value, float) and 0 <= value < math.inf for value in seconds):
        raise ValueError(f"Seconds must be finite numbers from 0 on; got {seconds!s:.60}.")
    return checkpoint


def tensors_to_bytes(content: dict[str, Any]) -> bytes:
    """A file of tensors and plain values that loads with ``weights_only=True``."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def tensors_from_bytes(data: bytes) -> dict[str, Any]:
    """What was given to ``tensors_to_bytes``, on the CPU; other bytes may raise anything."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
