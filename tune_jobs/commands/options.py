"""What several commands have in common: how they are declared, and the options they share."""

import argparse
import os

INTERRUPTED = 130  # what a shell gives for a command that Ctrl-C ended


def declare(commands, name: str, words: str, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=f"example: {example}",
    )


def add_storage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--storage", default=os.environ.get("TUNE_JOBS_STORAGE", "runs"), metavar="URI",
        help="a folder or s3://bucket/prefix for all results ($TUNE_JOBS_STORAGE, else runs)",
    )  # fmt: skip


def add_places(parser: argparse.ArgumentParser) -> None:
    add_storage(parser)
    parser.add_argument("--data", metavar="DIR", help="where datasets are ($STIR_DATA, else data)")


def add_checkpoint_seconds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint-seconds", type=positive_seconds, default=60.0, metavar="SEC",
        help="the most work that is lost when a trial is cut off (60)",
    )  # fmt: skip


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return number


def positive_seconds(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0; got {text}")
    return number
