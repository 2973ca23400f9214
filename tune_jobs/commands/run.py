"""``tune-jobs run``: do it, on this machine."""

import argparse
import sys
from collections import Counter

from tune_jobs.commands import options


def add(commands) -> None:
    parser = options.declare(
        commands,
        "run",
        "run what a study still has to do, on this machine",
        "tune-jobs run demo --storage runs",
    )
    parser.add_argument("study", metavar="STUDY", help="a shipped study's name, or a YAML file")
    parser.add_argument(
        "--max-concurrent",
        type=options.positive,
        metavar="N",
        help="trials at once (as many as fit)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="try failed points again")
    options.add_places(parser)
    options.add_checkpoint_seconds(parser)
    parser.set_defaults(run=_run)


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
        return options.INTERRUPTED
    if State.FAILED in states.values():
        print("failures/ in the storage says why; --retry-failed tries again", file=sys.stderr)
    return int(any(state != State.FINISHED for state in states.values()))


def _counts(states: dict) -> str:
    counts = Counter(states.values())
    return ", ".join(f"{count} {state}" for state, count in counts.items())
