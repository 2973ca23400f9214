"""Log a warning when a storage does not answer, so that a user knows what is waited for."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

SILENCE_SECONDS = 5.0
POLL_SECONDS = 0.5
logger = logging.getLogger("tune_jobs")


class SilenceWatch:
    """Logs one warning, on standard error, when a request has not been answered for a while.

    The next one comes only after an answer. A thread polls while there are requests.
    """

    def __init__(self, name: str, patience_seconds: float) -> None:
        self._name, self._patience_seconds = name, patience_seconds
        self._lock = threading.Lock()
        self._waiting: dict[object, float] = {}  # since when, of each request
        self._thread: threading.Thread | None = None
        self._is_silent = False

    @contextmanager
    def request(self) -> Iterator[None]:
        """Watch one request until it is answered, or fails for good."""
        token = object()
        with self._lock:
            self._waiting[token] = monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
        try:
            yield
        except FileNotFoundError:  # an answer too
            self._is_silent = False
            raise
        else:
            self._is_silent = False
        finally:
            with self._lock:
                del self._waiting[token]

    def _watch(self) -> None:
        pause = threading.Event()  # never set
        while True:
            pause.wait(POLL_SECONDS)
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                seconds = monotonic() - min(self._waiting.values())
            if seconds >= SILENCE_SECONDS and not self._is_silent:
                self._is_silent = True
                logger.warning(
                    "%s has not answered for %.0f s; it is asked again for up to %.0f s.",
                    self._name,
                    seconds,
                    self._patience_seconds,
                )
