"""The command ``stir``, also as ``python -m stir``."""

import sys

from stir.terminal import start


def main() -> int:
    return start("stir", "stir", "data")


if __name__ == "__main__":
    sys.exit(main())
