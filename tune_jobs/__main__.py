"""The command ``tune-jobs``, also as ``python -m tune_jobs``."""

import sys

from stir.terminal import start


def main() -> int:
    return start("tune-jobs", "tune_jobs", "tune")


if __name__ == "__main__":
    sys.exit(main())
