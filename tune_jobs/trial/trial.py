"""One point from start to finish, resumable between any two batches; without Ray."""

import traceback
from collections.abc import Callable
from contextlib import suppress

import torch

from siconvnet.fit import DivergedError
from stir import STIRDataset
from tune_jobs.errors import DeviceLostError, StorageError
from tune_jobs.point import TrialSpec
from tune_jobs.records.keys import failure_key
from tune_jobs.records.state import TrialState
from tune_jobs.records.trial import EpochRecord, FailureRecord, LostCheckpoint, utc_now
from tune_jobs.redaction import redact
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import (
    DEATHS_ALLOWED,
    Claim,
    new_claim,
    read_claim,
    release_claim,
    write_claim,
)
from tune_jobs.storage.reader import attempts, stored_record
from tune_jobs.trial.checkpoint import Checkpoint, load_checkpoint
from tune_jobs.trial.outcome import Outcome, TrialProgress
from tune_jobs.trial.session import (
    Session,
    StopAskedError,
    Surroundings,
    TakenOverError,
)


def run_trial(
    spec: TrialSpec,
    dataset: STIRDataset,
    storage: Storage,
    surroundings: Surroundings,
    *,
    stop_asked: Callable[[], bool] = lambda: False,
    report: Callable[[TrialProgress], None] = lambda progress: None,
) -> Outcome:
    """Train and test one point, from its checkpoint if there is one, and store the record last.

    Whatever goes wrong inside is stored as a failure and returned, not raised; what can still be
    raised is an error of the storage itself, and DeviceLostError: this process can train nothing
    more, and has died as far as the claim, which it leaves behind, is concerned.
    """
    point_id = spec.point_id
    if found := stored_record(storage, point_id):
        return Outcome(status=TrialState.FOUND, record=found)
    claim = read_claim(storage, point_id)
    if claim and claim.is_fresh and claim.driver != surroundings.driver:
        return Outcome(status=TrialState.ELSEWHERE)
    started_at = utc_now()
    session = None
    try:
        checkpoint = load_checkpoint(storage, point_id)
        claim = _claim_point(storage, point_id, surroundings, checkpoint, claim)
        if claim is None:
            return Outcome(status=TrialState.ELSEWHERE)
        session = Session(
            spec=spec,
            dataset=dataset,
            storage=storage,
            surroundings=surroundings,
            claim=claim,
            stop_asked=stop_asked,
            report=report,
        )
        record = session.run(checkpoint)
        outcome = Outcome(status=TrialState.FINISHED, record=record)
    except TakenOverError:
        return Outcome(status=TrialState.ELSEWHERE)
    except StopAskedError:
        outcome = Outcome(status=TrialState.PAUSED)
    except StorageError:  # no fault of the point, which stays to be done
        with suppress(StorageError):
            release_claim(storage, point_id, claim)
        raise
    except Exception as error:
        if surroundings.shares_gpu and _ran_out_of_memory(error):
            release_claim(storage, point_id, claim)
            return Outcome(status=TrialState.CROWDED, error=_one_line(error))
        if isinstance(error, torch.AcceleratorError):
            raise DeviceLostError(
                f"A GPU must go on answering; it says: {_one_line(error)}. Start a new process."
            ) from error
        epochs = tuple(session.epochs) if session else ()
        _write_failure(storage, spec, surroundings, error, epochs, started_at)
        outcome = Outcome(status=TrialState.FAILED, error=_one_line(error))
    release_claim(storage, point_id, claim)
    return outcome


def _claim_point(
    storage: Storage,
    point_id: str,
    surroundings: Surroundings,
    checkpoint: Checkpoint | LostCheckpoint | None,
    previous: Claim | None,
) -> Claim | None:
    """Claim the point; None if another driver did so at the same moment.

    Raises RuntimeError where earlier processes died again and again without getting further.
    """
    position = checkpoint.position if isinstance(checkpoint, Checkpoint) else (1, 0)
    claim = new_claim(surroundings.driver, position, previous)
    if claim.deaths >= DEATHS_ALLOWED:
        raise RuntimeError(
            f"A trial may lose its process {DEATHS_ALLOWED} times in a row without getting "
            f"further; this one lost it at epoch {claim.position[0]}. Is memory short?"
        )
    claim = write_claim(storage, point_id, claim)
    return claim if read_claim(storage, point_id) == claim else None


def _ran_out_of_memory(error: Exception) -> bool:
    """Whether a GPU was full; CUDA and its libraries each have a message for it."""
    full = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in full)


def _one_line(error: BaseException) -> str:
    return redact(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _write_failure(
    storage: Storage,
    spec: TrialSpec,
    surroundings: Surroundings,
    error: Exception,
    epochs: tuple[EpochRecord, ...],
    started_at: str,
) -> None:
    attempt = 1 + max(attempts(storage, spec.point_id), default=0)
    failure = FailureRecord(
        point_id=spec.point_id,
        point=spec.point,
        recipe=spec.recipe,
        model_version=spec.model_version,
        protocol_version=spec.protocol_version,
        dataset_fingerprint=spec.dataset_fingerprint,
        attempt=attempt,
        error=_one_line(error),
        traceback=redact("".join(traceback.format_exception(error))),
        epochs=epochs,
        started_at=started_at,
        failed_at=utc_now(),
        provenance=surroundings.provenance,
        diverged=isinstance(error, DivergedError),
    )
    storage.write(failure_key(spec.point_id, attempt), failure.to_json())
