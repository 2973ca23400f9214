"""Where a trial that is cut off goes on: everything it has learnt so far, in one object."""

import io
import logging
import math
import pickle
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tune_jobs.records.keys import checkpoint_key
from tune_jobs.records.trial import EpochRecord, Resumption
from tune_jobs.storage import Storage

logger = logging.getLogger("tune_jobs")


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
    }
    storage.write(checkpoint_key(point_id), tensors_to_bytes(content))


def read_checkpoint(storage: Storage, point_id: str) -> Checkpoint | None:
    """The checkpoint of a point, on the CPU; None if there is none.

    One that cannot be read (damaged, or of another version) counts as none: nothing but time is
    lost by training anew, where an error would come back at every attempt.
    """
    try:
        data = storage.read(checkpoint_key(point_id))
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return Checkpoint(
            **content
            | {
                "epochs": tuple(EpochRecord(**epoch) for epoch in content["epochs"]),
                "resumptions": tuple(Resumption(**entry) for entry in content["resumptions"]),
            }
        )
    except FileNotFoundError:
        return None
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as why:
        logger.warning("The checkpoint of %s cannot be read and is not used: %s", point_id, why)
        return None


def tensors_to_bytes(content: dict[str, Any]) -> bytes:
    """A file of tensors and plain values that loads with ``weights_only=True``."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
