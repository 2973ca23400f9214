"""``tune-jobs cluster-check``: what is wrong with a cluster file; asks nothing of AWS."""

import argparse
import sys

from tune_jobs.commands import options
from tune_jobs.records.text import visible


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
    return show_check(args.file)


def show_check(path: str) -> int:
    """Check a file and print what is found; 2 while anything is wrong or still to be filled in."""
    from tune_jobs.cluster.check import check_cluster

    report = check_cluster(path)
    for rule in report.checked:
        print(f"{'WRONG' if rule in report.faults else 'ok':5}  {rule}")
    for blank in report.blanks:
        print(f"still to fill in: {visible(blank)}")
    for missing in report.absent:
        print(f"still to make: {visible(missing)}")
    for faults in report.faults.values():
        for fault in faults:
            print(f"tune-jobs: {visible(fault)}", file=sys.stderr)
    if report.blanks or report.absent:
        print(
            f"tune-jobs: {path} is not ready; `tune-jobs cluster-init` fills it in", file=sys.stderr
        )
    return 2 if report.faults or report.blanks or report.absent else 0
