"""``tune-jobs train``: one model, without Ray."""

import argparse
import secrets
import sys
from typing import TYPE_CHECKING

from stir.terminal import counted
from tune_jobs.commands import options
from tune_jobs.errors import TuneJobsError

if TYPE_CHECKING:
    from stir import DatasetSummary
    from tune_jobs.point import TrialSpec
    from tune_jobs.storage import Storage
    from tune_jobs.trial.outcome import Outcome, TrialProgress


def add(commands) -> None:
    parser = options.declare(
        commands,
        "train",
        "train and test one model, without Ray",
        "tune-jobs train --model standard --dataset emoji --scenario 2 --lr 1e-3 --seed 1",
    )
    parser.add_argument("--model", required=True, metavar="M", help="a name from siconvnet.MODELS")
    options.add_imports(parser)
    parser.add_argument("--dataset", required=True, metavar="D", help="a name, or an .npz file")
    parser.add_argument(
        "--scenario", "--evaluation", required=True, type=int, metavar="{1..4}",
        help="which object sizes are trained on: 1 small, 2 middle, 3 large, 4 all",
    )  # fmt: skip
    parser.add_argument("--kernel-size", type=int, default=7, metavar="K", help="pixels, odd (7)")
    parser.add_argument("--interpolation", default="bicubic", metavar="I", help="(bicubic)")
    parser.add_argument("--lr", type=float, default=1e-3, metavar="LR", help="of Adam (0.001)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="initial weights (1)")
    parser.add_argument(
        "--max-epochs", type=options.positive, default=200, metavar="N", help="(200)"
    )
    parser.add_argument(
        "--patience", type=options.positive, default=10, metavar="N", help="epochs (10)"
    )
    parser.add_argument(
        "--batch-size", type=options.positive, default=16, metavar="N", help="images (16)"
    )
    parser.add_argument(
        "--on-divergence", choices=["fail", "stop"], default="fail",
        help="when a loss is not finite: fail, or stop and report the best epoch (fail)",
    )  # fmt: skip
    parser.add_argument("--threads", type=options.positive, default=1, metavar="N", help="(1)")
    options.add_device(parser)
    options.add_places(parser)
    options.add_checkpoint_seconds(parser)
    parser.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from threading import Event

    from tune_jobs.storage import Storage
    from tune_jobs.storage.datasets import open_checked, put_dataset
    from tune_jobs.study.axes import UnknownModelError
    from tune_jobs.study.plugins import import_models, where_models_come_from
    from tune_jobs.trial.interrupts import first_interrupt_asks
    from tune_jobs.trial.provenance import check_backend
    from tune_jobs.trial.session import Surroundings
    from tune_jobs.trial.trial import run_trial

    options.require_device(args.device)
    check_backend()
    import_models(args.imports)
    try:
        spec, dataset = _trial(args)
    except UnknownModelError as error:
        raise TuneJobsError(f"{error} {where_models_come_from(args.imports, None)}") from None
    storage = Storage(args.storage)
    storage.check_writable()
    images = open_checked(dataset.path, str(dataset.path))
    put_dataset(dataset, storage)
    stop = Event()

    def ask() -> None:
        stop.set()
        print("stopping after a checkpoint; Ctrl-C again ends at once", flush=True)

    with first_interrupt_asks(ask):
        outcome = run_trial(
            spec,
            images,
            storage,
            Surroundings(
                driver=secrets.token_hex(6),
                threads=args.threads,
                device=args.device,
                checkpoint_seconds=args.checkpoint_seconds,
            ),
            stop_asked=stop.is_set,
            report=_Shown(spec),
        )
    return _end(outcome, storage, spec.point_id)


def _trial(args: argparse.Namespace) -> "tuple[TrialSpec, DatasetSummary]":
    """The one trial that was asked for, and its dataset."""
    from tune_jobs.plan.opened import make_plan
    from tune_jobs.point import Recipe
    from tune_jobs.study.axes import check_point_values
    from tune_jobs.study.study import ONLY_PHASE, Phase, Resources, Study

    axes = ("model", "dataset", "scenario", "kernel_size", "interpolation", "lr", "seed")
    point = check_point_values({axis: getattr(args, axis) for axis in axes})
    recipe = Recipe(
        max_epochs=args.max_epochs,
        patience=args.patience,
        batch_size=args.batch_size,
        on_divergence=args.on_divergence,
    )
    phase = Phase(name=ONLY_PHASE, points=(point,))
    study = Study(name="train", phases=(phase,), recipe=recipe, resources=Resources())
    plan = make_plan(study, args.data)
    return plan.specs[0], plan.datasets[plan.specs[0].point.dataset]


class _Shown:
    """Prints where a trial begins, then every epoch that it has finished."""

    def __init__(self, spec: "TrialSpec") -> None:
        self._spec = spec
        self._begun = False

    def __call__(self, progress: "TrialProgress") -> None:
        if self._begun:
            print(f"epoch {progress.epoch}: validation {progress.valid_accuracy:.2%}", flush=True)
            return
        where = ""
        if progress.resumed_at:
            epoch, batch = progress.resumed_at
            where = f", goes on from epoch {epoch} after {counted(batch, 'batch', 'batches')}"
        print(f"{self._spec.point.label}: {self._spec.point_id}{where}", flush=True)
        self._begun = True


def _end(outcome: "Outcome", storage: "Storage", point_id: str) -> int:
    """Say how the trial ended; the command's exit status."""
    from tune_jobs.records.state import TrialState

    if outcome.record:
        record = outcome.record
        before = "already there: " if outcome.status is TrialState.FOUND else ""
        print(
            f"{before}test accuracy {record.test_accuracy:.4f}, best validation accuracy "
            f"{record.best_valid_accuracy:.4f} in epoch {record.best_epoch} of "
            f"{len(record.epochs)}, {record.wall_seconds:.0f} s; records/{record.point_id}.json"
        )
        return 0
    if outcome.status is TrialState.PAUSED:
        print("stopped; the same command goes on from the checkpoint")
        return options.INTERRUPTED
    if outcome.status is TrialState.ELSEWHERE:
        print("tune-jobs: another process is training this point", file=sys.stderr)
    else:
        _show_failure(outcome.error, storage, point_id)
    return 1


def _show_failure(error: str, storage: "Storage", point_id: str) -> None:
    """Where it failed and why, and where the rest of that is kept."""
    from tune_jobs.records.keys import failure_key
    from tune_jobs.storage.reader import last_failure

    failure = last_failure(storage, point_id)
    print(last_frame(failure.traceback), file=sys.stderr)
    print(f"tune-jobs: the trial failed: {error}", file=sys.stderr)
    key = failure_key(point_id, failure.attempt)
    print(f"tune-jobs: all of it is in {storage.uri}/{key}", file=sys.stderr)


def last_frame(traceback: str) -> str:
    """The file, line and code of a traceback that raised."""
    lines = traceback.splitlines()
    begins = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    frame = lines[begins[-1] :] if begins else lines[-1:]
    return "\n".join(line for line in frame if line.startswith("  "))
