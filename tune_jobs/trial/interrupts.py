"""Ctrl-C ends work in two steps: the first asks for a checkpoint, the second ends at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def first_interrupt_asks(ask: Callable[[], None]) -> Iterator[None]:
    """Call ``ask`` at the first SIGINT or SIGTERM; raise KeyboardInterrupt at the second.

    In another thread than the main one signals keep their meaning, as Python demands.
    """
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        ask()

    is_main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
