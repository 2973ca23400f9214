"""``tune-jobs cluster-destroy``: take away what ``cluster-init`` made, but for the results."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tune_jobs.commands import options
from tune_jobs.commands.cluster.init import NAME, OUT, add_name, confirmed
from tune_jobs.errors import TuneJobsError

if TYPE_CHECKING:
    from tune_jobs.cluster.setup.account import Account
    from tune_jobs.cluster.setup.cluster_file import ClusterFile


def add(commands) -> None:
    parser = options.declare(
        commands,
        "cluster-destroy",
        "take away what cluster-init made on AWS; the bucket with the results stays",
        "ray down cluster.yaml; tune-jobs cluster-destroy",
        "ray down other.yaml; tune-jobs cluster-destroy --cluster other.yaml",
    )
    parser.add_argument(
        "--cluster", metavar="FILE",
        help=f"what cluster-init wrote, which says name and region ({OUT}, if it is there)",
    )  # fmt: skip
    add_name(parser, default=None, usual=f"that of the file, else {NAME}")
    parser.add_argument(
        "--region", metavar="R", help="(that of the file, else of your AWS configuration)"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--with-bucket", action="store_true", help="the bucket too, with all results in it"
    )
    parser.set_defaults(run=_destroy)


def _destroy(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.setup.removal import remove, survey_cluster

    found = survey_cluster(*_named(args))
    print(f"account {found.account.number} ({found.account.user}), {found.account.region}")
    for line in found.goes(with_bucket=args.with_bucket):
        print(f"  goes:  {line}")
    for line in found.stays(with_bucket=args.with_bucket):
        print(f"  stays: {line}")
    if not found.goes(with_bucket=args.with_bucket):
        print("nothing is left to remove")
        return 0
    if not args.yes:
        sure = args.with_bucket and found.bucket
        question = f"Type {found.bucket} to remove it all: " if sure else "Remove it? [y/N] "
        if not confirmed(question, found.bucket if sure else "y"):
            print("nothing was removed")
            return 1
    remove(found, with_bucket=args.with_bucket, say=lambda line: print(line, flush=True))
    return 0


def _named(args: argparse.Namespace) -> "tuple[Account, str]":
    """The account and the name of the cluster that is meant."""
    from tune_jobs.cluster.setup.account import Account

    file = None if not args.cluster and args.name and args.region else _file(args)
    if file is None:
        return Account(args.region), args.name or NAME
    name, owner = str(file.values["name"]), str(file.values["account"])
    account = Account(args.region or str(file.values["region"]))
    if account.number != owner:
        raise TuneJobsError(
            f"A cluster must be destroyed in its account; {file.path} is of {owner}, and your "
            f"credentials are of {account.number}. AWS_PROFILE chooses among several."
        )
    return account, name


def _file(args: argparse.Namespace) -> "ClusterFile | None":
    """The cluster's file; None if there is none, or if it is of no cluster or another one's."""
    from tune_jobs.cluster.setup.cluster_file import ClusterFile

    path = Path(args.cluster or OUT)
    if not args.cluster and not path.is_file():
        return None
    try:
        file = ClusterFile(path, there=True)
    except TuneJobsError as error:
        raise TuneJobsError(
            f"{error} Without a file, --name and --region say together which cluster is meant."
        ) from None
    if file.is_filled and args.name in (None, str(file.values["name"])):
        return file
    if args.cluster:
        raise TuneJobsError(
            f"--cluster must name the file of the cluster that is to be destroyed; {path} is "
            + (f"of {file.values['name']}, not {args.name}." if file.is_filled else "of none yet.")
        )
    return None
