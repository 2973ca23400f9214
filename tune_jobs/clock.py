"""The time as storages, claims and trials know it: one place, where a simulation puts its own."""

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
