"""The command ``stir-analysis``, also as ``python -m analysis``."""

import sys

from stir.terminal import start


def main() -> int:
    return start("stir-analysis", "analysis", "analysis")


if __name__ == "__main__":
    sys.exit(main())
