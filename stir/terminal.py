"""What all command lines share: their start, a progress bar, the end when their reader has gone."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

LINE_SECONDS = 5.0  # between two lines of progress, where there is no terminal
BAD_INPUT = 2
READER_GONE = 141  # what a shell gives for a command whose reader has gone, such as `head`

Progress = Callable[[int, int], None]  # steps done, steps in all


def silent(done: int, total: int) -> None:
    """Report no progress."""


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


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function of steps done and steps in all; what it shows goes to standard error.

    On a terminal that is a bar, elsewhere a line every LINE_SECONDS.
    """
    # Loaded when there is something to show: it takes longer than all of --help.
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(description)
        return
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def exit_status(command: Callable[[], int]) -> int:
    """Run a command; its exit status, or READER_GONE if its reader left before the end."""
    try:
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


def _lines(description: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            print(f"{description}: {done} of {total}", file=sys.stderr)  # noqa: T201

    return show
