"""Put this folder on the path, beside the one above it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
