"""``python -m stir``, which is ``stir``."""

import sys

from stir.cli import main

sys.exit(main())
