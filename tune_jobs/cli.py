"""The command line ``tune-jobs``: train one model, or plan and run a study."""

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Sequence

from stir.errors import StirError
from tune_jobs.errors import TuneJobsError

INTERRUPTED = 130  # what a shell gives for a command that Ctrl-C ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit status is 0, 1 when a point has no good record, 2 after a sentence on bad input, 130
    when it was stopped.
    """
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (TuneJobsError, StirError, OSError) as error:
        print(f"tune-jobs: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tune-jobs", description="Train the grid model x dataset x scenario x lr x seed."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = _command(
        commands,
        "train",
        "train and test one model, without Ray",
        "tune-jobs train --model standard --dataset emoji --scenario 2 --lr 1e-3 --seed 1",
    )
    train.add_argument("--model", required=True, metavar="M", help="a name from siconvnet.MODELS")
    train.add_argument("--dataset", required=True, metavar="D", help="a name, or an .npz file")
    train.add_argument(
        "--scenario", "--evaluation", required=True, type=int, metavar="{1..4}",
        help="which object sizes are trained on: 1 small, 2 middle, 3 large, 4 all",
    )  # fmt: skip
    train.add_argument("--kernel-size", type=int, default=7, metavar="K", help="pixels, odd (7)")
    train.add_argument("--interpolation", default="bicubic", metavar="I", help="(bicubic)")
    train.add_argument("--lr", type=float, default=1e-3, metavar="LR", help="of Adam (0.001)")
    train.add_argument("--seed", type=int, default=1, metavar="S", help="initial weights (1)")
    train.add_argument("--max-epochs", type=_positive, default=200, metavar="N", help="(200)")
    train.add_argument("--patience", type=_positive, default=10, metavar="N", help="epochs (10)")
    train.add_argument("--batch-size", type=_positive, default=16, metavar="N", help="images (16)")
    train.add_argument("--threads", type=_positive, default=1, metavar="N", help="(1)")
    train.add_argument("--device", default="cpu", metavar="DEV", help="cpu or cuda (cpu)")
    _add_places(train)
    _add_checkpoint_seconds(train)
    train.set_defaults(run=_train)

    plan = _command(
        commands, "plan", "show what a study still has to do; starts nothing", "tune-jobs plan demo"
    )
    plan.add_argument("study", metavar="STUDY", help="a shipped study's name, or a YAML file")
    _add_places(plan)
    plan.set_defaults(run=_plan)

    run = _command(
        commands,
        "run",
        "run what a study still has to do, on this machine",
        "tune-jobs run demo --storage runs",
    )
    run.add_argument("study", metavar="STUDY", help="a shipped study's name, or a YAML file")
    run.add_argument(
        "--max-concurrent", type=_positive, metavar="N", help="trials at once (as many as fit)"
    )
    run.add_argument("--retry-failed", action="store_true", help="try failed points again")
    _add_places(run)
    _add_checkpoint_seconds(run)
    run.set_defaults(run=_run)
    return parser


def _command(commands, name: str, words: str, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=f"example: {example}",
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--storage", default="runs", metavar="URI",
        help="a folder or s3://bucket/prefix for records, weights and checkpoints (runs)",
    )  # fmt: skip
    parser.add_argument("--data", metavar="DIR", help="where datasets are ($STIR_DATA, else data)")


def _add_checkpoint_seconds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint-seconds", type=_positive_seconds, default=60.0, metavar="SEC",
        help="the most work that is lost when a trial is cut off (60)",
    )  # fmt: skip


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return number


def _positive_seconds(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0; got {text}")
    return number


def _train(args: argparse.Namespace) -> int:
    import os
    import socket

    from tune_jobs.datasets import put_dataset
    from tune_jobs.grid import Recipe
    from tune_jobs.plan import make_plan
    from tune_jobs.session import Progress, Surroundings
    from tune_jobs.storage import Storage
    from tune_jobs.study import Resources, Study, check_point_values
    from tune_jobs.trial import run_trial

    axes = ("model", "dataset", "scenario", "kernel_size", "interpolation", "lr", "seed")
    point = check_point_values({axis: getattr(args, axis) for axis in axes})
    recipe = Recipe(max_epochs=args.max_epochs, patience=args.patience, batch_size=args.batch_size)
    study = Study(name="train", points=(point,), recipe=recipe, resources=Resources())
    plan = make_plan(study, args.data)
    (spec,) = plan.specs
    storage = Storage(args.storage)
    storage.check_writable()
    (dataset,) = plan.datasets.values()
    put_dataset(dataset, storage)
    asked: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: _ask(asked))

    def show(progress: Progress) -> None:
        if progress.valid_accuracy is None:
            where = f", from epoch {progress.epoch + 1}" if progress.resumed_at else ""
            print(f"{spec.point.label}: {spec.point_id}{where}", flush=True)
        else:
            print(f"epoch {progress.epoch}: validation {progress.valid_accuracy:.2%}", flush=True)

    outcome = run_trial(
        spec,
        dataset,
        storage,
        Surroundings(
            driver=f"{socket.gethostname()}-{os.getpid()}",
            threads=args.threads,
            device=args.device,
            checkpoint_seconds=args.checkpoint_seconds,
        ),
        stop_asked=lambda: bool(asked),
        report=show,
    )
    if outcome.record:
        record = outcome.record
        before = "already there: " if outcome.status == "found" else ""
        print(
            f"{before}test accuracy {record.test_accuracy:.4f}, best validation accuracy "
            f"{record.best_valid_accuracy:.4f} in epoch {record.best_epoch} of "
            f"{len(record.epochs)}, {record.wall_seconds:.0f} s; records/{record.point_id}.json"
        )
        return 0
    if outcome.status == "stopped":
        print("stopped; the same command goes on from the checkpoint")
        return INTERRUPTED
    if outcome.status == "elsewhere":
        print("tune-jobs: another process is training this point", file=sys.stderr)
    else:
        print(f"tune-jobs: the trial failed: {outcome.error}", file=sys.stderr)
    return 1


def _ask(asked: list[int]) -> None:
    if asked:
        raise KeyboardInterrupt
    asked.append(1)
    print("stopping after a checkpoint; once more ends at once", flush=True)


def _plan(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from tune_jobs.plan import State, make_plan, survey
    from tune_jobs.storage import Storage
    from tune_jobs.study import load_study

    plan = make_plan(load_study(args.study), args.data)
    states = survey(plan.specs, Storage(args.storage))
    cells: dict[tuple[str, str, int, float], Counter[State]] = {}
    for spec in plan.specs:
        point = spec.point
        cell = (point.model, point.dataset, point.scenario, point.lr)
        cells.setdefault(cell, Counter())[states[spec.point_id]] += 1
    table = Table("model", "dataset", "scenario", "lr", *State, title=f"study {plan.study.name}")
    for column in table.columns[2:]:
        column.justify = "right"
    for (model, dataset, scenario, lr), counts in cells.items():
        numbers = (str(counts[state]) for state in State)
        table.add_row(model, dataset, str(scenario), f"{lr:g}", *numbers)
    table.add_section()
    totals = Counter(states.values())
    table.add_row("all", "", "", "", *(str(totals[state]) for state in State))
    Console().print(table)
    return 0


def _run(args: argparse.Namespace) -> int:
    from tune_jobs.plan import State, make_plan, survey
    from tune_jobs.storage import Storage
    from tune_jobs.study import load_study

    study = load_study(args.study)
    storage = Storage(args.storage)
    storage.check_writable()
    plan = make_plan(study, args.data)
    states = survey(plan.specs, storage)
    open_states = {State.TO_DO, State.IN_FLIGHT} | ({State.FAILED} if args.retry_failed else set())
    stopped, broken = False, ()
    if open_states & set(states.values()):
        from tune_jobs.runner import run_plan

        print(f"study {study.name}: {_counts(states)}; storage {storage.uri}", flush=True)
        summary = run_plan(
            plan,
            storage,
            checkpoint_seconds=args.checkpoint_seconds,
            max_concurrent=args.max_concurrent,
            retry_failed=args.retry_failed,
        )
        states, stopped, broken = summary.states, summary.stopped, summary.broken
    else:
        print(f"study {study.name}: nothing is left to do")
    print(f"study {study.name}: {_counts(states)}")
    for line in broken:
        print(f"tune-jobs: {line}", file=sys.stderr)
    if stopped:
        print("stopped; the same command goes on from the checkpoints")
        return INTERRUPTED
    if State.FAILED in states.values():
        print("failures/ in the storage says why; --retry-failed tries again", file=sys.stderr)
    return int(any(state != State.FINISHED for state in states.values()))


def _counts(states: dict) -> str:
    counts = Counter(states.values())
    return ", ".join(f"{count} {state}" for state, count in counts.items())
