"""``tune-jobs submit``: run a study on a cluster."""

import argparse
import shlex
from typing import TYPE_CHECKING

from tune_jobs.commands import options, run
from tune_jobs.errors import TuneJobsError

if TYPE_CHECKING:
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
    parser.add_argument(
        "--keep-alive", action="store_true",
        help="wait for a head that is lost, and send the study again when it is back",
    )  # fmt: skip
    parser.set_defaults(run=_submit)


def _submit(args: argparse.Namespace) -> int:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from tune_jobs.cluster.bundle import write_bundle
    from tune_jobs.cluster.head import Head, Job
    from tune_jobs.cluster.jobs import run_job
    from tune_jobs.plan.opened import open_study
    from tune_jobs.storage import Storage
    from tune_jobs.study.file import load_study, shipped_studies
    from tune_jobs.study.subset import Only

    storage = Storage(args.storage)
    if storage.is_local:
        raise TuneJobsError(
            "The storage of a cluster must be one that all its machines reach, s3://bucket/prefix; "
            f"got the folder {storage.uri}."
        )
    study = load_study(args.study)
    opened = open_study(study, args.data)
    only = Only.parse(args.only, opened.study)
    head = Head(args.address)
    storage.check_writable()
    stored = _put_datasets(opened, only, storage)
    study_file = None if args.study in shipped_studies() else Path(args.study)
    with TemporaryDirectory() as folder:
        digest = write_bundle(Path(folder), study_file=study_file, imports=study.imports)
        words = [f"./{study_file.name}" if study_file else args.study, "--storage", storage.uri]
        for asked, key in stored.items():
            words += ["--stored", f"{asked}={key}"]
        entrypoint = shlex.join(
            ["exec", "python", "-m", "tune_jobs", "run", *words, *_run_options(args)]
        )
        job = Job(
            folder=Path(folder),
            entrypoint=entrypoint,
            name=study.name,
            digest=f"{digest} {entrypoint}",
        )
        return run_job(head, job, keep_alive=args.keep_alive, say=options.say, show=options.show)


def _put_datasets(opened: "OpenedStudy", only: "Only", storage: "Storage") -> dict[str, str]:
    """See that the storage has every dataset; returns their keys by the names that were asked for.

    One that is not here may be there already. Raises StirError for one that is in neither.
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
    """What ``tune-jobs run`` is to be called with there, beside study, storage and datasets."""
    words = ["--address", "auto", "--checkpoint-seconds", str(args.checkpoint_seconds)]
    for part in args.only:
        words += ["--only", part]
    for name in ("max_concurrent", "price"):
        if (value := getattr(args, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    for unit, amount in args.stop_after.items():
        words += ["--stop-after", f"{amount / 60}min" if unit == "seconds" else str(amount)]
    if args.retry_failed:
        words += ["--retry-failed"]
    return words
