"""The clock of storages, claims and trials: one place, so that a simulation can replace it."""

import time


def now() -> float:
    """Seconds since 1970, as this machine's clock has them; other machines' differ."""
    return time.time()


def monotonic() -> float:
    """Seconds since some moment, for durations: never set back."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
