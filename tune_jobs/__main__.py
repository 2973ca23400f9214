"""``python -m tune_jobs``, which is ``tune-jobs``."""

import sys

from tune_jobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
