"""``python -m analysis``, which is ``stir-analysis``."""

import sys

from analysis.cli import main

sys.exit(main())
