"""``tune-jobs clean``: remove what nothing needs any more."""

import argparse

from tune_jobs.commands import options


def add(commands) -> None:
    parser = options.declare(
        commands,
        "clean",
        "remove stale claims, checkpoints of finished trials and weights without a record",
        "tune-jobs clean --storage runs --dry-run",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would go")
    options.add_storage(parser)
    parser.set_defaults(run=_clean)


def _clean(args: argparse.Namespace) -> int:
    from tune_jobs.leftovers import find_leftovers, remove
    from tune_jobs.storage import Storage

    storage = Storage(args.storage)
    gone = []
    for leftover in find_leftovers(storage):
        if args.dry_run or remove(leftover, storage):
            gone.append(leftover)
            print(f"{leftover.key}: {leftover.reason}")
    size = sum(leftover.size for leftover in gone) / 1e6
    words = "would be removed" if args.dry_run else "removed"
    print(f"{len(gone):,} objects, {size:.1f} MB, {words}")
    return 0
