"""``tune-jobs stop``: end a study on a cluster; its trials write their checkpoints first."""

import argparse

from tune_jobs.commands import options


def add(commands) -> None:
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

    head = Head(args.address)
    if head.find(args.job).status.is_terminal():
        print(f"{args.job} has ended already")
        return 0
    options.say(f"stopping {args.job}: its trials write their checkpoints")
    stop_job(head, args.job)
    print(f"{args.job} is stopped; submitting the study again goes on from the checkpoints")
    return 0
