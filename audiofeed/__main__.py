"""`python -m audiofeed`."""

import sys

from audiofeed.cli import main

if __name__ == "__main__":
    sys.exit(main())
