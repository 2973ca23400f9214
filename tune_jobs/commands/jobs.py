"""``tune-jobs follow`` and ``stop``: show what a study on a cluster prints; end it."""

import argparse
import sys

from tune_jobs.commands import options


def add(commands) -> None:
    add_follow(commands)
    add_stop(commands)


def add_follow(commands) -> None:
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

    with options.reached(args):
        head = Head(args.address)
        head.find(args.job)
        end = follow_job(head, args.job, say=options.say, show=options.show)
    if end.exit_status is None:
        print(
            f"tune-jobs: the driver is lost: {end.reason}; submit the study again", file=sys.stderr
        )
        return 1
    return end.exit_status


def add_stop(commands) -> None:
    parser = options.declare(
        commands,
        "stop",
        "end a submitted study after its trials have written their checkpoints",
        "tune-jobs stop emoji-0123abcd",
    )
    options.add_job(parser)
    parser.set_defaults(run=_stop)


def _stop(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.head import Head
    from tune_jobs.cluster.jobs import stop_job

    with options.reached(args):
        head = Head(args.address)
        if head.find(args.job).status.is_terminal():
            print(f"{args.job} has ended already")
            return 0
        options.say(f"stopping {args.job}: its trials write their checkpoints")
        stop_job(head, args.job)
    print(f"{args.job} is stopped; submitting the study again goes on from the checkpoints")
    return 0
