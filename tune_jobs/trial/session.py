"""One process's work on one point: it trains, checkpoints, tests and stores."""

import hashlib
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from siconvnet import build_model
from siconvnet.evaluation.accuracy import ScaleCount, ScaleCounts
from siconvnet.fit import Epoch, Fit, Images, Step
from siconvnet.models import find_model
from stir import SCALES, SCENARIOS, STIRDataset
from tune_jobs import clock
from tune_jobs.point import TrialSpec
from tune_jobs.records.keys import checkpoint_key, record_key, weights_key
from tune_jobs.records.trial import (
    EpochRecord,
    LostCheckpoint,
    Provenance,
    Resumption,
    ScaleRecord,
    TrialRecord,
    utc_now,
)
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import HEARTBEAT_SECONDS, Claim, read_claim, write_claim
from tune_jobs.storage.reader import stored_record
from tune_jobs.trial.checkpoint import (
    OUT_OF_MEMORY,
    Checkpoint,
    lost,
    tensors_to_bytes,
    write_checkpoint,
)
from tune_jobs.trial.determinism import begin_alike
from tune_jobs.trial.outcome import CHECKPOINT_SECONDS, TrialProgress
from tune_jobs.trial.provenance import backend_on, provenance


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """Where and for whom a trial runs; none of it changes its result but ``threads``, by rounding.

    ``driver`` names the command that runs it, so that only trials of one driver take over from
    each other while a claim is fresh.
    """

    driver: str
    threads: int
    device: str = "cpu"
    shares_gpu: bool = False  # with other trials
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    ray_version: str | None = None

    @property
    def provenance(self) -> Provenance:
        return provenance(device=self.device, threads=self.threads, ray_version=self.ray_version)


class StopAskedError(Exception):
    """Raised between two batches, after the checkpoint; not a fault."""


class TakenOverError(Exception):
    """Raised between two batches: another process holds the claim and trains the same point."""


class Session:
    """One process's work on one point: the clocks, and the storage between batches."""

    def __init__(
        self,
        *,
        spec: TrialSpec,
        dataset: STIRDataset,
        storage: Storage,
        surroundings: Surroundings,
        claim: Claim,
        stop_asked: Callable[[], bool],
        report: Callable[[TrialProgress], None],
    ) -> None:
        self.spec, self.dataset, self.storage = spec, dataset, storage
        self.surroundings, self.claim = surroundings, claim
        self.stop_asked, self.report = stop_asked, report
        self.scenario = SCENARIOS[spec.point.scenario]
        self.started_at = utc_now()
        self.epochs: list[EpochRecord] = []
        self.resumptions: list[Resumption] = []
        self.lost_checkpoints: list[LostCheckpoint] = []
        now = clock.monotonic()
        # When the trial and the running epoch would have begun had they never been cut off.
        self.began = self.epoch_began = now
        self.checkpointed = self.heartbeat_sent = now
        # Of the running epoch, in batches; NaN after a resumption that does not know.
        self.train_seconds = self.valid_seconds = 0.0

    def run(self, checkpoint: Checkpoint | LostCheckpoint | None) -> TrialRecord:
        """Train, test, store weights and record; raises StopAskedError when asked to stop."""
        self._begin()
        if isinstance(checkpoint, LostCheckpoint):
            self.lost_checkpoints.append(checkpoint)
        elif checkpoint:
            self._resume_or_begin(checkpoint)
        self._report()
        self._train()
        counts = self._test()
        return self._store(counts)

    def _begin(self) -> None:
        begin_alike(
            self.spec.point.seed,
            threads=self.surroundings.threads,
            device=self.surroundings.device,
        )
        self.fit = self._fit()

    def _resume_or_begin(self, checkpoint: Checkpoint) -> None:
        try:
            self._resume(checkpoint)
        except OUT_OF_MEMORY:
            raise
        except Exception as error:  # a checkpoint that is whole and yet of no use to this model
            self.lost_checkpoints = [
                *checkpoint.lost_checkpoints,
                lost(self.spec.point_id, error),
            ]
            self._begin()

    def _fit(self) -> Fit:
        point, recipe, device = self.spec.point, self.spec.recipe, self.surroundings.device
        model = build_model(
            point.model,
            in_channels=self.dataset.num_channels,
            num_classes=self.dataset.num_classes,
            kernel_size=point.kernel_size,
            interpolation=point.interpolation or "bicubic",  # None: the model does not use it
        ).to(device)
        train, valid = (
            _images(self.dataset, split, self.scenario.train_scales, shuffle=split == "train")
            for split in ("train", "valid")
        )
        return Fit(
            model,
            train.to(device),
            valid.to(device),
            lr=point.lr,
            max_epochs=recipe.max_epochs,
            patience=recipe.patience,
            batch_size=recipe.batch_size,
            stop_on_divergence=recipe.on_divergence == "stop",
            num_classes=self.dataset.num_classes,
            name=f"The model {point.model}",
            capturable=find_model(point.model).capturable,
        )

    def _resume(self, checkpoint: Checkpoint) -> None:
        self.fit.load_state_dict(checkpoint.fit)
        self.started_at = checkpoint.started_at
        self.began -= checkpoint.wall_seconds
        self.epoch_began -= checkpoint.epoch_seconds
        self.train_seconds = checkpoint.train_seconds
        self.valid_seconds = checkpoint.valid_seconds
        self.epochs = list(checkpoint.epochs)
        epoch, batch = checkpoint.position
        here = Resumption(
            at=utc_now(),
            epoch=epoch,
            batch=batch,
            host=platform.node(),
            backend=backend_on(self.surroundings.device),
        )
        self.resumptions = [*checkpoint.resumptions, here]
        self.lost_checkpoints = list(checkpoint.lost_checkpoints)

    def _train(self) -> None:
        steps = iter(self.fit)
        while step := self._timed(steps):
            if step.finished:
                self._end_epoch(step.finished)
                self._report()
            self._between_batches()

    def _timed(self, steps: Iterator[Step]) -> Step | None:
        """The next batch; its time counts as training or as validation."""
        began = clock.monotonic()
        step = next(steps, None)
        if step and step.batch == self.fit.train_batches and torch.cuda.is_initialized():
            torch.cuda.synchronize()  # what is still queued belongs to training
        spent = clock.monotonic() - began
        if step is None:
            return None
        if step.batch <= self.fit.train_batches:
            self.train_seconds += spent
        else:
            self.valid_seconds += spent
        return step

    def _end_epoch(self, finished: Epoch) -> None:
        now = clock.monotonic()
        self.epochs.append(
            EpochRecord(
                epoch=finished.number,
                train_loss=finished.train_loss,
                train_accuracy=finished.train_accuracy,
                valid_loss=finished.valid_loss,
                valid_accuracy=finished.valid_accuracy,
                seconds=now - self.epoch_began,
                finished_at=utc_now(),
                train_seconds=_known(self.train_seconds),
                valid_seconds=_known(self.valid_seconds),
            )
        )
        self.epoch_began = now
        self.train_seconds = self.valid_seconds = 0.0

    def _test(self) -> tuple[ScaleCount, ...]:
        self.fit.model.load_state_dict(self.fit.best_weights)
        images = _images(self.dataset, "test", SCALES, shuffle=False)
        scales = torch.tensor(SCALES).repeat_interleave(len(images) // len(SCALES))
        counts = ScaleCounts(
            self.fit.model,
            images.to(self.surroundings.device),
            scales,
            batch_size=self.spec.recipe.batch_size,
        )
        for _ in counts:
            self._between_batches()
        return counts.result()

    def _between_batches(self) -> None:
        now = clock.monotonic()
        if now - self.heartbeat_sent >= HEARTBEAT_SECONDS:
            self._beat()
            self.heartbeat_sent = now
        stop = self.stop_asked()
        if stop or now - self.checkpointed >= self.surroundings.checkpoint_seconds:
            self._checkpoint(now)
        if stop:
            raise StopAskedError

    def _beat(self) -> None:
        holder = read_claim(self.storage, self.spec.point_id)
        if holder and holder.token != self.claim.token:
            raise TakenOverError  # written since our last heartbeat, whatever its clock says
        self.claim = write_claim(self.storage, self.spec.point_id, self.claim)

    def _checkpoint(self, now: float) -> None:
        checkpoint = Checkpoint(
            fit=self.fit.state_dict(),
            epochs=tuple(self.epochs),
            resumptions=tuple(self.resumptions),
            started_at=self.started_at,
            wall_seconds=now - self.began,
            epoch_seconds=now - self.epoch_began,
            train_seconds=self.train_seconds,
            valid_seconds=self.valid_seconds,
            lost_checkpoints=tuple(self.lost_checkpoints),
        )
        write_checkpoint(self.storage, self.spec.point_id, checkpoint)
        self.checkpointed = clock.monotonic()

    def _report(self) -> None:
        resumed = self.resumptions[-1] if self.resumptions else None
        self.report(
            TrialProgress(
                epoch=len(self.epochs),
                max_epochs=self.spec.recipe.max_epochs,
                valid_accuracy=self.epochs[-1].valid_accuracy if self.epochs else None,
                resumed_at=(resumed.epoch, resumed.batch) if resumed else None,
            )
        )

    def _store(self, counts: tuple[ScaleCount, ...]) -> TrialRecord:
        point_id, best = self.spec.point_id, self.fit.best
        assert best is not None  # at least one epoch was trained
        weights = {key: value.cpu() for key, value in self.fit.best_weights.items()}
        data = tensors_to_bytes(weights)
        key = weights_key(point_id, hashlib.sha256(data).hexdigest())
        tested = [count for count in counts if count.scale in self.scenario.test_scales]
        total = sum(count.total for count in tested)
        record = TrialRecord(
            point_id=point_id,
            point=self.spec.point,
            recipe=self.spec.recipe,
            model_version=self.spec.model_version,
            protocol_version=self.spec.protocol_version,
            dataset_fingerprint=self.spec.dataset_fingerprint,
            num_classes=self.dataset.num_classes,
            num_parameters=sum(weight.numel() for weight in self.fit.model.parameters()),
            epochs=tuple(self.epochs),
            best_epoch=best.number,
            best_valid_accuracy=best.valid_accuracy,
            scales=tuple(
                ScaleRecord(
                    scale=count.scale,
                    total=count.total,
                    correct=count.correct,
                    loss_sum=count.loss_sum,
                )
                for count in counts
            ),
            test_accuracy=sum(count.correct for count in tested) / total,
            test_loss=sum(count.loss_sum for count in tested) / total,
            wall_seconds=clock.monotonic() - self.began,
            started_at=self.started_at,
            finished_at=utc_now(),
            resumptions=tuple(self.resumptions),
            weights_key=key,
            provenance=self.surroundings.provenance,
            lost_checkpoints=tuple(self.lost_checkpoints),
        )
        existing = stored_record(self.storage, point_id)
        if existing is None:
            self.storage.write(key, data)
            self.storage.write(record_key(point_id), record.to_json())
            if not self.storage.exists(key):  # removed as unneeded, while this process stood still
                self.storage.write(key, data)
        self.storage.delete(checkpoint_key(point_id))
        return existing or record


def _known(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds


def _images(dataset: STIRDataset, split: str, scales: Sequence[int], *, shuffle: bool) -> Images:
    images, labels = dataset.select(split, scales, shuffle)
    return Images(torch.from_numpy(images), torch.from_numpy(labels))
