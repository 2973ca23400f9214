"""The command line ``tune-jobs``: train one model, or plan and run a study."""

import sys
from collections.abc import Sequence

from stir.errors import StirError
from stir.terminal import Parser, exit_status
from tune_jobs.commands import (
    calibrate,
    clean,
    evaluate,
    export,
    jobs,
    options,
    plan,
    run,
    status,
    submit,
    train,
)
from tune_jobs.commands.cluster import check, destroy, init
from tune_jobs.errors import TuneJobsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit status is 0, 1 when a point has no good record, 2 after a sentence on bad input, 3 when
    a budget is spent, 130 when it was stopped, 141 when the reader of its output has closed it.
    """
    args = _parser().parse_args(argv)
    try:
        return exit_status(lambda: args.run(args), "tune-jobs")
    except KeyboardInterrupt:
        return options.INTERRUPTED
    except (TuneJobsError, StirError, OSError) as error:
        print(f"tune-jobs: {error}", file=sys.stderr)
        return 2


def _parser() -> Parser:
    parser = Parser(
        prog="tune-jobs",
        description="Train the grid model x dataset x scenario x lr x seed.",
        examples=(
            "tune-jobs plan demo            # what there is to do, how long it takes",
            "tune-jobs run demo             # train; the same command goes on after a stop",
            "tune-jobs status --watch       # how it stands, from another terminal",
            "tune-jobs COMMAND --help       # options and an example of each command",
        ),
    )
    parser.add_version()
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    of_jobs = (init, check, submit, jobs, destroy)
    for command in (train, plan, calibrate, run, *of_jobs, status, evaluate, export, clean):
        command.add(commands)
    return parser
