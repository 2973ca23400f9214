"""The command line ``stir-analysis``: records to tables, statistics, figures and a report."""

import argparse
from collections.abc import Sequence

from analysis.commands import (
    collect,
    compare,
    figures,
    import_mlflow,
    output,
    query,
    report,
    tables,
)
from analysis.errors import AnalysisError
from stir.terminal import exit_status
from tune_jobs.errors import TuneJobsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit status is 0, 1 when something damaged was left out, 2 after a sentence on bad input or
    when nothing could be made, 130 when it was stopped.
    """
    args = _parser().parse_args(argv)
    try:
        return exit_status(lambda: args.run(args))
    except KeyboardInterrupt:
        return output.INTERRUPTED
    except (AnalysisError, TuneJobsError, OSError) as error:
        output.message(str(error))
        return output.BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stir-analysis", description="Records to tables, statistics, figures and a report."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (collect, query, import_mlflow, figures, tables, compare, report):
        command.add(commands)
    return parser
