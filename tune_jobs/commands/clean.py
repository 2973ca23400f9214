"""``tune-jobs clean``: remove what nothing needs any more, and move damaged records aside."""

import argparse

from stir.terminal import counted
from tune_jobs.commands import options
from tune_jobs.records.text import visible


def add(commands) -> None:
    parser = options.declare(
        commands,
        "clean",
        "remove stale claims, checkpoints of finished trials and weights without a record; move "
        "damaged records aside, so that a run trains those points again",
        "tune-jobs clean --storage runs --dry-run",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would go")
    options.add_storage(parser)
    parser.set_defaults(run=_clean)


def _clean(args: argparse.Namespace) -> int:
    from tune_jobs.plan.leftovers import find_leftovers, remove_all
    from tune_jobs.storage import Storage

    storage = Storage(args.storage)
    storage.require_there()
    found, gone = find_leftovers(storage), []
    options.name_strays(found.strays)
    for leftover in found.gone if args.dry_run else remove_all(found.gone, storage):
        gone.append(leftover)
        where = f" -> {leftover.aside}" if leftover.aside else ""
        print(f"{leftover.key}{where}: {visible(leftover.reason)}")
    removed = [leftover for leftover in gone if not leftover.aside]
    size = sum(leftover.size for leftover in removed) / 1e6
    would = "would be " if args.dry_run else ""
    print(f"{counted(len(removed), 'object')}, {size:.1f} MB, {would}removed")
    if aside := len(gone) - len(removed):
        points = "its point" if aside == 1 else "their points"
        records = counted(aside, "damaged record")
        print(f"{records} {would}moved aside; a run trains {points} again")
    return 0
