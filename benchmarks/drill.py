"""Kill workers, drivers and the S3 server of a running study, and count what that cost.

example: python -m benchmarks.drill --faults 60 --trials 60

Needs the test extra (SeaweedFS). The exit status is 0 if no result was lost, doubled or changed,
some trials were resumed and all faults happened. A point whose process is killed five times before
it gets anywhere is given up as failed, which is as it should be: leave pauses long enough for a
process to start and write a checkpoint. A study that is done before all faults happened was too
short: give it more trials or longer ones.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from lab.drill import drill
from lab.s3_server import CREDENTIALS

KINDS = {"worker": 6, "driver": 2, "server": 2}  # how often each is killed, relatively


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=60, help="processes killed (60)")
    parser.add_argument("--trials", type=int, default=60, help="networks trained (60)")
    parser.add_argument("--epochs", type=int, default=60, help="that each takes (60)")
    parser.add_argument(
        "--batch", type=float, default=0.02, help="seconds of one, until the last fault (0.02)"
    )
    parser.add_argument("--pause", type=float, default=9.0, help="seconds at most between (9)")
    parser.add_argument("--seed", type=int, default=1, help="of what happens when (1)")
    args = parser.parse_args()
    os.environ.update(CREDENTIALS)
    kinds = random.Random(args.seed).choices(list(KINDS), list(KINDS.values()), k=args.faults)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        result = drill(
            Path(folder),
            faults=kinds,
            seeds=args.trials,
            epochs=args.epochs,
            batch_seconds=args.batch,
            longest_pause_seconds=args.pause,
            rng_seed=args.seed,
            say=lambda line: print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True),
        )
    killed = ", ".join(f"{count} {kind}" for kind, count in sorted(result.faults.items()))
    print(f"faults     {result.faults.total()} processes killed ({killed})")
    print(f"requests   {result.requests}, of which {result.requests_failed} were made to fail")
    print(f"trials     {result.trials}")
    print(f"resumed    {result.resumed}")
    print(f"lost       {result.lost}")
    print(f"doubled    {result.doubled}")
    print(f"different  {result.different}")
    return int(not result.is_clean or not result.resumed or result.faults.total() < args.faults)


if __name__ == "__main__":
    sys.exit(main())
