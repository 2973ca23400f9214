"""The first reproduction: rebuild its page from the records, or put newer records beside it.

examples:
  python -m benchmarks.reproduction page              # docs/reproduction from its records
  python -m benchmarks.reproduction unpack runs       # the storages behind it, to go on from
  python -m benchmarks.reproduction pack runs         # their records, after the study went on
"""

import argparse
import sys
from pathlib import Path

from benchmarks.reproduction.archive import pack, unpack
from benchmarks.reproduction.page import RECORDS, write_page

FOLDER = Path("docs/reproduction")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reproduction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["page", "unpack", "pack"])
    parser.add_argument("storages", nargs="?", type=Path, help="folder of the storages")
    args = parser.parse_args()
    if (args.command == "page") == bool(args.storages):
        parser.error(f"{args.command} takes {'no folder' if args.storages else 'a folder'}")
    if args.command == "page":
        for name in write_page(FOLDER):
            print(FOLDER / name)
    elif args.command == "unpack":
        unpack(FOLDER / RECORDS, args.storages)
    else:
        storages = {path.name: path for path in args.storages.iterdir() if path.is_dir()}
        count = pack(storages, FOLDER / RECORDS)
        print(f"{FOLDER / RECORDS}: {count} objects")
    return 0


if __name__ == "__main__":
    sys.exit(main())
