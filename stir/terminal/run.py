"""How a command line starts and ends."""

import os
import sys
from collections.abc import Callable
from importlib import import_module

from stir.terminal.silence import never_silent

BAD_INPUT = 2
READER_GONE = 141  # what a shell gives for a command whose reader has gone, such as `head`


def start(command: str, package: str, extra: str) -> int:
    """Run the command line of a package, or say which extra of the installation it needs.

    What is imported without the extras is numpy and PyTorch only.
    """
    try:
        return import_module(f"{package}.cli").main()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "stir", "siconvnet", "tune_jobs", "analysis"):
            raise
        print(  # noqa: T201
            f"{command}: This command needs the extra {extra}, of which {missing} is not here: "
            f"pip install 'scale-generalization[{extra}]'.",
            file=sys.stderr,
        )
        return BAD_INPUT


def exit_status(command: Callable[[], int], name: str) -> int:
    """Run a command; its exit status, or READER_GONE if its reader left before the end.

    ``name`` is how the command calls itself when it has been silent for a while.
    """
    try:
        with never_silent(name):
            status = command()
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer has nowhere to go, or Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except SystemExit as end:  # what rich makes of it
        if isinstance(end.__context__, BrokenPipeError):
            return READER_GONE
        raise
    return status
