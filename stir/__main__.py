import sys

from stir.cli import main

sys.exit(main())
