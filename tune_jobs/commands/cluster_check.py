"""``tune-jobs cluster-check``: what is wrong with a cluster file; asks nothing of AWS."""

import argparse
import sys

from tune_jobs.commands import options


def add(commands) -> None:
    parser = options.declare(
        commands,
        "cluster-check",
        "look for mistakes in a cluster file that Ray lets pass; starts nothing",
        "tune-jobs cluster-check cluster.yaml",
    )
    parser.add_argument("file", metavar="FILE", help="what you would give to `ray up`")
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.check import check_cluster

    report = check_cluster(args.file)
    for rule in report.checked:
        print(f"{'WRONG' if rule in report.faults else 'ok':5}  {rule}")
    for blank in report.blanks:
        print(f"still to fill in: {blank}")
    for path in report.absent:
        print(f"still to make: {path}")
    for faults in report.faults.values():
        for fault in faults:
            print(f"tune-jobs: {fault}", file=sys.stderr)
    return 2 if report.faults or report.blanks else 0
