"""``tune-jobs submit``: send a study to a cluster as a job, and follow it."""

import argparse
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stir.terminal import counted
from tune_jobs.commands import options, run
from tune_jobs.errors import TuneJobsError

if TYPE_CHECKING:
    from tune_jobs.cluster.bundle import Bundle
    from tune_jobs.cluster.setup.cluster_file import Cluster
    from tune_jobs.plan.opened import OpenedStudy
    from tune_jobs.storage import Storage
    from tune_jobs.study.subset import Only


def add(commands) -> None:
    parser = options.declare(
        commands,
        "submit",
        "run what a study still has to do on a cluster, with the code that is here",
        "tune-jobs submit emoji --storage s3://bucket/prefix --keep-alive",
    )
    run.add_study(parser)
    options.add_head(parser)
    options.add_places(parser)
    options.add_checkpoint_seconds(parser)
    parser.set_defaults(storage=None)  # that of the cluster, where none is named
    parser.add_argument(
        "--keep-alive", action="store_true",
        help="wait for a head that is lost, and send the study again when it is back",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be sent, with sizes; send nothing"
    )
    parser.set_defaults(run=_submit)


def _submit(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.bundle import Bundle
    from tune_jobs.plan.opened import open_study
    from tune_jobs.storage import Storage
    from tune_jobs.study.file import load_study, shipped_studies
    from tune_jobs.study.plugins import packages_of
    from tune_jobs.study.subset import Only

    storage = Storage(options.storage_of(args))
    if storage.is_local:
        _require_shared(storage, options.cluster_of(args))
    study = load_study(args.study)
    opened = open_study(study, args.data)
    only = Only.parse(args.only, opened.study)
    study_file = None if args.study in shipped_studies() else Path(args.study)
    bundle = Bundle.of(
        study_file=study_file, imports=study.imports, entry_points=packages_of(study)
    )
    if args.dry_run:
        _show(bundle, opened)
        return 0
    with options.reached(args):
        return _send(bundle, study_file, opened, only, storage, args)


def _require_shared(storage: "Storage", cluster: "Cluster | None") -> None:
    """Raise TuneJobsError unless a folder is the one that the machines of a cluster share."""
    from tune_jobs.storage import Storage

    if cluster is None or not cluster.storage or Storage(cluster.storage).uri != storage.uri:
        raise TuneJobsError(
            "The storage of a cluster must be one that all its machines reach, s3://bucket/prefix "
            f"or the folder that its file names; got the folder {storage.uri}. Give --storage, or "
            "have `tune-jobs cluster-init` fill the file in."
        )
    if not Path(storage.uri).is_dir():
        raise TuneJobsError(
            "The folder that machines share must be here too, because datasets go through it; "
            f"there is no {storage.uri}."
        )


def _send(
    bundle: "Bundle",
    study_file: Path | None,
    opened: "OpenedStudy",
    only: "Only",
    storage: "Storage",
    args: argparse.Namespace,
) -> int:
    """Put the datasets into the storage, send the code, and follow the job."""
    from tune_jobs.cluster.head import Head, Job
    from tune_jobs.cluster.jobs import run_job

    head = Head(args.address)
    storage.check_writable()
    stored = _put_datasets(opened, only, storage)
    with TemporaryDirectory() as folder:
        digest = bundle.write(Path(folder))
        options.say(
            f"sending {bundle.size / 1e6:.1f} MB of code in {counted(len(bundle.files), 'file')}; "
            "--dry-run lists them"
        )
        arguments = [f"./{study_file.name}" if study_file else args.study, "--storage", storage.uri]
        for asked, key in stored.items():
            arguments += ["--stored", f"{asked}={key}"]
        arguments += _run_options(args)
        entrypoint = shlex.join(["exec", "python", "-m", "tune_jobs", "run", *arguments])
        job = Job(
            folder=Path(folder),
            entrypoint=entrypoint,
            name=opened.study.name,
            digest=f"{digest} {entrypoint}",
        )
        return run_job(head, job, keep_alive=args.keep_alive, say=options.say, show=options.show)


def _show(bundle: "Bundle", opened: "OpenedStudy") -> None:
    """List what would be sent, and what of the same folders would not."""
    for name, file in bundle.files:
        print(f"{file.size:>11,}  {name}")
    for file in bundle.held_back:
        if file.path.suffix != ".pyc":
            print(f"   not sent  {file.path}: {file.reason}")
    for dataset in opened.datasets.values():
        print(f"{dataset.path.stat().st_size:>11,}  {dataset.path}, to the storage unless there")
    files = counted(len(bundle.files), "file")
    print(f"{bundle.size / 1e6:.1f} MB of code in {files}; nothing was sent")


def _put_datasets(opened: "OpenedStudy", only: "Only", storage: "Storage") -> dict[str, str]:
    """Put every dataset into the storage; returns their keys by the names that were asked for.

    One that is not here may be there already. Raises StirError for one that is in neither place.
    """
    from tune_jobs.driver.phases import require_datasets
    from tune_jobs.storage.datasets import put_dataset, stored_key

    keys: dict[str, str] = {}
    for asked, name in opened.names.items():
        if asked not in opened.missing:
            keys[asked] = put_dataset(opened.datasets[name], storage)
        elif key := stored_key(asked, storage):
            options.say(f"dataset {asked}: {key} of the storage")
            keys[asked] = key
    require_datasets(opened, only, elsewhere=keys)
    return keys


def _run_options(args: argparse.Namespace) -> list[str]:
    """The arguments of ``tune-jobs run`` on the cluster, beside study, storage and datasets."""
    arguments = ["--address", "auto", "--checkpoint-seconds", str(args.checkpoint_seconds)]
    for part in args.only:
        arguments += ["--only", part]
    for name in ("max_concurrent", "price", "budget"):
        if (value := getattr(args, name)) is not None:
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    for unit, amount in args.stop_after.items():
        arguments += ["--stop-after", f"{amount / 60}min" if unit == "seconds" else str(amount)]
    if args.retry_failed:
        arguments += ["--retry-failed"]
    return arguments
