"""``tune-jobs evaluate``: measure more of finished weights than their accuracy."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stir.terminal import counted, progress_bar
from tune_jobs.commands import options
from tune_jobs.wording import duration

if TYPE_CHECKING:
    from tune_jobs.evaluation.outlook import Outlook
    from tune_jobs.records.evaluation import ObjectIndex


def add(commands) -> None:
    parser = options.declare(
        commands,
        "evaluate",
        "measure equivariance errors and chosen kernel sizes of finished points",
        "tune-jobs evaluate demo --storage runs --maps 0/0",
    )
    parser.add_argument(
        "study", metavar="STUDY", nargs="?",
        help="a study's name, or its YAML file: its reported points (all that are finished)",
    )  # fmt: skip
    options.add_storage(parser)
    options.add_imports(parser)
    parser.add_argument(
        "--predictions", action="store_true", help="also store the answer to every test image"
    )
    parser.add_argument(
        "--maps", type=_object, action="append", default=[], metavar="CLASS/INSTANCE",
        help="also store the kernel size chosen at every pixel for this test object, counted from "
        "0, at 17, 33, 48 and 64 pixels; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--max-concurrent", type=options.positive, metavar="N", help="points at once (all CPUs)"
    )
    parser.add_argument(
        "--address", default="local", metavar="WHERE",
        help="local: this machine; auto: the Ray cluster it is part of; HOST:PORT of one (local)",
    )  # fmt: skip
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from tune_jobs.evaluation.outlook import outlook
    from tune_jobs.evaluation.points import at_once, evaluable, evaluate_points
    from tune_jobs.records.evaluation import Wanted
    from tune_jobs.storage import Storage
    from tune_jobs.study.plugins import import_models
    from tune_jobs.trial.provenance import check_backend

    study, imports, folder = _identify(args.study)
    what = f"study {study}" if study else "finished points"
    storage = Storage(args.storage)
    storage.require_there()
    wanted = Wanted(predictions=args.predictions, maps=tuple(args.maps))
    points = evaluable(study, storage, wanted)
    options.name_strays(points.strays)
    print(
        f"{what}: {len(points.todo)} to evaluate, {len(points.done)} evaluated, "
        f"{len(points.unfinished)} without a result",
        flush=True,
    )
    if not points.todo:
        return int(bool(points.unfinished))
    if args.address == "local":
        check_backend()
    storage.check_writable()
    load = partial(import_models, (*imports, *args.imports), folder)
    expected = outlook(points.todo, storage, wanted, load)
    slots = at_once(points.todo, args.max_concurrent, args.address) or 1
    print(_forecast(expected, slots if args.address == "local" else None), flush=True)
    failed = 0
    with progress_bar("evaluating, images") as progress:
        passes = evaluate_points(
            points.todo,
            storage,
            wanted,
            load=load,
            images=expected.images,
            max_concurrent=args.max_concurrent,
            address=args.address,
            progress=progress,
        )
        try:
            for finished, (point_id, reason) in enumerate(passes, start=1):
                if reason:
                    failed += 1
                    print(f"tune-jobs: {point_id}: {reason}", file=sys.stderr)
                if not sys.stderr.isatty():
                    print(f"{finished}/{len(points.todo)} {point_id}", flush=True)
        except KeyboardInterrupt:
            options.say("stopped; the same command goes on with what is not stored yet")
            raise
    print(f"{what}: {len(points.todo) - failed} evaluated, {failed} failed")
    return int(bool(failed or points.unfinished))


def _forecast(expected: "Outlook", slots: int | None) -> str:
    """What is to be done, and about how long it takes; of a cluster the slots are not known."""
    images = counted(sum(expected.images.values()), "image")
    if expected.seconds is None:
        return images
    if slots is None:
        return f"{images}, about {duration(expected.seconds)} of one core"
    longest = len(expected.images) and expected.seconds / min(slots, len(expected.images))
    return f"{images}, about {duration(longest)}"


def _object(text: str) -> "ObjectIndex":
    """CLASS/INSTANCE, both counted from 0."""
    from tune_jobs.records.evaluation import ObjectIndex

    numbers = text.split("/")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(
            f"must be a class and an instance counted from 0, such as 0/0; got {text!r}"
        )
    return ObjectIndex(*map(int, numbers))


def _identify(study: str | None) -> tuple[str | None, tuple[str, ...], Path | None]:
    """The name under which a study's points are stored, the modules with its models, its folder."""
    from tune_jobs.study.file import load_study

    if study is None or Path(study).suffix not in (".yaml", ".yml"):
        return study, (), None
    loaded = load_study(study)
    return loaded.name, loaded.imports, loaded.folder
