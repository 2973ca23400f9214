"""One input given to the code that takes it, and what must not come out."""

import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout

STATUSES = {0, 1, 2}
_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class FoundError(Exception):
    """An input that was neither used nor refused in a sentence."""


def command(main: Callable[[Sequence[str]], int], *arguments: str) -> int:
    """Run a command line here; returns its exit status.

    Raises FoundError for another status than 0, 1 and 2, for a traceback in what it prints, and
    for characters that would act on a terminal.
    """
    typed = False  # argparse repeats what the user typed, which comes from no other source
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", None))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as end:
            status, typed = end.code, True
    text = "".join(_content(stream) for stream in (out, err))
    if status not in STATUSES:
        raise FoundError(f"exit status {status!r} of {arguments!r}")
    if "Traceback" in text:
        raise FoundError(f"a traceback from {arguments!r}: {text[-300:]}")
    if not typed and (acting := _ACTING.search(text)):
        near = text[max(0, acting.start() - 60) :][:120]
        raise FoundError(f"{acting[0]!r} printed by {arguments!r}: {near!r}")
    return int(status or 0)


def refused(work: Callable[[], object], *errors: type[Exception]) -> bool:
    """Whether work was refused, in one line; other errors than ``errors`` come through."""
    try:
        work()
    except errors as error:
        if "\n" in str(error).strip():
            raise FoundError(f"more than a line: {str(error)!r:.200}") from error
        return True
    return False


def _content(stream: io.TextIOWrapper) -> str:
    stream.flush()
    binary = stream.buffer
    assert isinstance(binary, io.BytesIO)
    return binary.getvalue().decode("utf-8", "replace")
