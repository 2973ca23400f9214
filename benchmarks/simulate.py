"""Play histories of the service in simulated time, each with other faults, and count what broke.

example: python -m benchmarks.simulate --seeds 1000000 --jobs 2
example: python -m benchmarks.simulate --seed 4711

The exit status is 0 if nothing did. Whatever breaks is shown with the fewest faults that it takes.
"""

import argparse
import os
import sys
import time

from lab.simulation.tally import Tally, tallies, tally


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10_000, help="histories to play (10000)")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (all cores)")
    parser.add_argument("--seed", type=int, help="show the history of this seed only")
    parser.add_argument("--defect", default="none", help="plant one of lab.simulation.defects")
    args = parser.parse_args()
    if args.seed is not None:
        return _show(args.seed, args.defect)
    began, total = time.monotonic(), Tally()
    seeds = range(args.first, args.first + args.seeds)
    for part in tallies(seeds, jobs=args.jobs, defect=args.defect):
        for text in part.shown[: 3 - len(total.shown)]:
            print(f"\n{text}\n")
        total.add(part)
        seconds = time.monotonic() - began
        line = f"{total.histories:,} of {args.seeds:,} histories, {len(total.failed):,} broken"
        print(f"\r{line}, {seconds:,.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    _report(total, time.monotonic() - began)
    return int(bool(total.failed))


def _show(seed: int, defect: str) -> int:
    one = tally([seed], defect=defect)
    print(one.shown[0] if one.shown else f"seed {seed}: sound")
    return int(bool(one.failed))


def _report(total: Tally, seconds: float) -> None:
    print(f"histories  {total.histories:,} in {seconds:,.0f} s")
    print(f"faults     {total.faults.total():,}")
    for kind, count in total.faults.most_common():
        print(f"  {kind:14} {count:,}")
    print(f"violations {len(total.failed):,}")
    if total.failed:
        print(f"seeds      {', '.join(map(str, total.failed[:20]))}")


if __name__ == "__main__":
    sys.exit(main())
