"""``tune-jobs export``: finished trials as runs of TensorBoard or MLflow."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stir.terminal import progress_bar
from tune_jobs.commands import options

if TYPE_CHECKING:
    from tune_jobs.exports.records import Target


def add(commands) -> None:
    parser = options.declare(
        commands,
        "export",
        "add finished trials to TensorBoard or MLflow; what is there already stays",
        "tune-jobs export --storage runs --tensorboard boards",
    )
    options.add_storage(parser)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="a folder for `tensorboard --logdir DIR`"
    )
    target.add_argument(
        "--mlflow", metavar="URI", help="a tracking server, http://HOST:PORT, or sqlite:///FILE"
    )
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from tune_jobs.exports.records import export
    from tune_jobs.storage import Storage

    storage = Storage(args.storage)
    storage.require_there()
    target = _target(args)
    with progress_bar("exporting") as progress:
        exported = export(storage, target, progress=progress)
    print(f"{_shown(args)}: {exported.added:,} added, {exported.there:,} there already")
    options.name_strays(exported.strays)
    for line in exported.damaged:
        print(f"tune-jobs: {line}", file=sys.stderr)
    return int(bool(exported.damaged))


def _shown(args: argparse.Namespace) -> str:
    if args.mlflow:
        from tune_jobs.redaction import without_secrets

        return without_secrets(args.mlflow)
    return str(args.tensorboard)


def _target(args: argparse.Namespace) -> "Target":
    if args.mlflow:
        from tune_jobs.exports.mlflow import MlflowRuns

        return MlflowRuns(args.mlflow)
    from tune_jobs.exports.tensorboard import TensorBoardFolder

    return TensorBoardFolder(args.tensorboard)
