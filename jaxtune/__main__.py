"""`python -m jaxtune` is the command `jaxtune`."""

import sys

from jaxtune.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
