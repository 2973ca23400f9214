"""Give spoilt and made-up inputs to all that reads or shows what others wrote.

example: python -m benchmarks.fuzz --inputs 10000
example: python -m benchmarks.fuzz --number 4711

The exit status is 0 if each was used, or refused in a sentence, within 10 s and 2 GB.
"""

import argparse
import os
import sys
import time

from lab.fuzz.fuzz import Input, Summary, fuzz


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (all cores)")
    parser.add_argument("--number", type=int, help="try this one only")
    args = parser.parse_args()
    numbers = range(args.first, args.first + args.inputs)
    if args.number is not None:
        numbers = range(args.number, args.number + 1)
    began, total = time.monotonic(), Summary()
    for one in fuzz(numbers, jobs=args.jobs):
        total.add(one)
        if one.found:
            print(f"\ninput {one.number}, {one.target}: {one.found}", flush=True)
        line = f"{total.inputs.total():,} of {len(numbers):,} inputs, {len(total.found)} found"
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    _report(total, time.monotonic() - began)
    return int(bool(total.found))


def _report(total: Summary, seconds: float) -> None:
    print(f"inputs   {total.inputs.total():,} in {seconds:,.0f} s")
    for target, count in sorted(total.inputs.items()):
        print(f"  {target:22} {count:,}")
    for name, one in (("slowest", total.slowest), ("largest", total.largest)):
        print(f"{name}  {_described(one)}")
    print(f"found    {len(total.found)}")


def _described(one: Input | None) -> str:
    if one is None:
        return "none"
    return f"{one.seconds:.2f} s, {one.bytes / 2**20:.0f} MB (input {one.number}, {one.target})"


if __name__ == "__main__":
    sys.exit(main())
