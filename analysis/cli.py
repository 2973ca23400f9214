"""The command line ``stir-analysis``: records to tables, statistics, figures and a report."""

import sys
from collections.abc import Collection, Sequence
from importlib import import_module

from analysis.commands import output
from analysis.errors import AnalysisError
from stir.terminal import Parser, exit_status
from tune_jobs.errors import TuneJobsError

COMMANDS = {  # each in the module of its name, which is loaded when it is asked for
    "collect": "put the records of one or more storages into Parquet tables",
    "query": "answer a SELECT over the results tables",
    "import-mlflow": "put an MLflow CSV export in the published format into the tables",
    "figures": "draw figures as SVG, PDF and PNG",
    "tables": "print tables as Markdown, LaTeX or CSV",
    "compare": "compare our cells with the published ones",
    "report": "write one HTML page, and the figures in it",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit status is 0, 1 when something damaged was left out, 2 after a sentence on bad input or
    when nothing could be made, 130 when it was stopped.
    """
    arguments = sys.argv[1:] if argv is None else argv
    args = _parser([name for name in arguments if name in COMMANDS]).parse_args(arguments)
    try:
        return exit_status(lambda: args.run(args), "stir-analysis")
    except KeyboardInterrupt:
        return output.INTERRUPTED
    except (AnalysisError, TuneJobsError, OSError) as error:
        output.message(str(error))
        return output.BAD_INPUT


def _parser(asked: Collection[str] = COMMANDS.keys()) -> Parser:
    """A parser that knows every command by name, and those asked for with their options."""
    parser = Parser(
        prog="stir-analysis",
        description="Records to tables, statistics, figures and a report.",
        examples=(
            "stir-analysis collect --storage runs --out results",
            "stir-analysis report --results results --out .",
            "stir-analysis query 'select model, avg(test_accuracy) from reported group by 1'",
        ),
    )
    parser.add_version()
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name in asked:
            import_module(f"analysis.commands.{name.replace('-', '_')}").add(command)
    return parser
