"""What several commands have in common: how they are declared, and the options they share."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tune_jobs.errors import TuneJobsError
from tune_jobs.records.text import visible
from tune_jobs.trial.outcome import CHECKPOINT_SECONDS

if TYPE_CHECKING:
    from tune_jobs.cluster.setup.cluster_file import Cluster

STRAYS_NAMED = 10
OVER_BUDGET = 3
INTERRUPTED = 130  # what a shell gives for a command that Ctrl-C ended
CLUSTER_FILE = "cluster.yaml"
DASHBOARD = "http://127.0.0.1:8265"  # of a Ray on this machine, and of a tunnel to a cluster's


def declare(commands, name: str, summary: str, *examples: str) -> argparse.ArgumentParser:
    """Add a command; ``summary`` is a phrase that begins in lower case."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        examples=examples,
    )


def add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", metavar="STUDY",
        help="a YAML file, or a shipped study: demo, emoji, paper, record, search-emoji",
    )  # fmt: skip


def add_storage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--storage", default=default_storage(), metavar="URI",
        help="a folder or s3://bucket/prefix for all results ($TUNE_JOBS_STORAGE, else runs)",
    )  # fmt: skip


def default_storage() -> str:
    return os.environ.get("TUNE_JOBS_STORAGE") or "runs"


def add_imports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import", action="append", default=[], dest="imports", metavar="MODULE",
        help="a Python module that registers models of your own",
    )  # fmt: skip


def add_places(parser: argparse.ArgumentParser) -> None:
    add_storage(parser)
    parser.add_argument("--data", metavar="DIR", help="where datasets are ($STIR_DATA, else data)")


def add_head(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address", default=os.environ.get("RAY_API_SERVER_ADDRESS", DASHBOARD), metavar="URL",
        help=f"the cluster's dashboard ($RAY_API_SERVER_ADDRESS, else {DASHBOARD})",
    )  # fmt: skip
    parser.add_argument(
        "--cluster", default=CLUSTER_FILE, metavar="FILE",
        help=f"the file given to `ray up`: SSH reaches its head, if nothing is at {DASHBOARD} yet, "
        f"and its storage is the default ({CLUSTER_FILE}, if it is there and filled in)",
    )  # fmt: skip


@contextmanager
def reached(args: argparse.Namespace) -> Iterator[None]:
    """Have a tunnel to the head of ``--cluster`` for a while, where no other way is given."""
    from tune_jobs.cluster.tunnel import Tunnel, is_open

    cluster = cluster_of(args)
    if cluster is None or args.address != DASHBOARD or is_open():
        yield
        return
    say(f"a tunnel to the head of {cluster.path}, at {DASHBOARD}")
    with Tunnel(cluster.path):
        yield


def storage_of(args: argparse.Namespace) -> str:
    """The storage asked for, else that of the cluster file, else the default."""
    if args.storage is None:
        cluster = None if os.environ.get("TUNE_JOBS_STORAGE") else cluster_of(args)
        return (cluster and cluster.storage) or default_storage()
    return args.storage


def cluster_of(args: argparse.Namespace) -> "Cluster | None":
    """The cluster of the file, if that is filled in; one that was not named need not be there."""
    from tune_jobs.cluster.setup.cluster_file import find_cluster

    path = Path(args.cluster)
    if args.cluster == CLUSTER_FILE and not path.is_file():
        return None
    try:
        return find_cluster(path)
    except TuneJobsError:
        if args.cluster == CLUSTER_FILE:  # of another kind: it is reached in another way
            return None
        raise


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="(cpu)")


def require_device(device: str) -> None:
    """Refuse a GPU where there is none."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise TuneJobsError("--device cuda needs a GPU that PyTorch can use; there is none here.")


def add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="ID", help="what `tune-jobs submit` calls the job")
    add_head(parser)


def add_checkpoint_seconds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint-seconds", type=positive_number, default=CHECKPOINT_SECONDS, metavar="SEC",
        help=f"the most work that is lost when a trial is cut off ({CHECKPOINT_SECONDS:g})",
    )  # fmt: skip


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1; got {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0; got {text!r}")
    return number


def say(line: str) -> None:
    """Print a message about what the command is doing, on standard error."""
    print(f"tune-jobs: {line}", file=sys.stderr, flush=True)


def name_strays(names: Sequence[str]) -> None:
    """Name the files in a storage that are no objects of it, at most STRAYS_NAMED of them."""
    for name in names[:STRAYS_NAMED]:
        say(f"{visible(name)} is no object of the storage and is left out")
    if more := len(names[STRAYS_NAMED:]):
        say(f"so are {more:,} more")


def show(text: str) -> None:
    """Print what another process has printed."""
    print(text, end="", flush=True)
