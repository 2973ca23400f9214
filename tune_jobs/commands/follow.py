"""``tune-jobs follow``: what a study on a cluster prints."""

import argparse
import sys

from tune_jobs.commands import options


def add(commands) -> None:
    parser = options.declare(
        commands,
        "follow",
        "show what a submitted study prints, until it ends; Ctrl-C leaves it running",
        "tune-jobs follow emoji-0123abcd",
    )
    options.add_job(parser)
    parser.set_defaults(run=_follow)


def _follow(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.head import Head
    from tune_jobs.cluster.jobs import follow_job

    head = Head(args.address)
    head.find(args.job)
    end = follow_job(head, args.job, say=options.say, show=options.show)
    if end.exit_status is None:
        print(
            f"tune-jobs: the driver is lost: {end.reason}; submit the study again", file=sys.stderr
        )
        return 1
    return end.exit_status
