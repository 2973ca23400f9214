"""``tune-jobs cluster-destroy``: take away what ``cluster-init`` made, but for the results."""

import argparse

from tune_jobs.commands import options
from tune_jobs.commands.cluster.init import add_name, confirmed


def add(commands) -> None:
    parser = options.declare(
        commands,
        "cluster-destroy",
        "take away what cluster-init made on AWS; the bucket with the results stays",
        "ray down cluster.yaml; tune-jobs cluster-destroy",
    )
    add_name(parser)
    parser.add_argument("--region", metavar="R", help="(that of your AWS configuration)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--with-bucket", action="store_true", help="the bucket too, with all results in it"
    )
    parser.set_defaults(run=_destroy)


def _destroy(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.setup.account import Account
    from tune_jobs.cluster.setup.removal import remove, survey_cluster

    found = survey_cluster(Account(args.region), args.name)
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
