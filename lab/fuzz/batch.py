"""Inputs in a process of their own, with limits on time and memory; one line of JSON for each."""

import argparse
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType

MOST_SECONDS = 10.0  # of processor time, for one input
MOST_BYTES = 2 * 2**30  # that one input may take
SPARE_BYTES = 6 * 2**30  # of address space, which libraries reserve and do not use


class TooSlowError(BaseException):
    """An input that took longer than it may."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", type=int, nargs="+")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        from lab.fuzz.targets import CYCLE, TARGETS

        ready = {}
        _limit()
        signal.signal(signal.SIGPROF, _too_slow)
        for number in args.numbers:
            name = CYCLE[number % len(CYCLE)]
            if name not in ready:
                place = Path(folder) / name
                place.mkdir()
                ready[name] = TARGETS[name](place)
            line = _try(number, name, ready[name])
            print(json.dumps(line), file=sys.__stdout__, flush=True)
    return 0


def _try(number: int, name: str, target) -> dict[str, object]:
    rng = random.Random(f"{name} {number}")
    before, began, found = _peak(), time.process_time(), ""
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        target(rng)
    except (Exception, TooSlowError) as error:
        lines = traceback.format_exception(error)[-3:]
        found = f"{type(error).__name__}: {error}\n{''.join(lines)}"[:2000]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds, grown = time.process_time() - began, _peak() - before
    if not found and (seconds > MOST_SECONDS or grown > MOST_BYTES):
        found = f"{seconds:.1f} s and {grown / 2**20:.0f} MB"
    return {"number": number, "target": name, "seconds": seconds, "bytes": grown, "found": found}


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlowError(f"more than {MOST_SECONDS:g} s")


if __name__ == "__main__":
    sys.exit(main())
