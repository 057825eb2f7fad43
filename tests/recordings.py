"""Where recordings for tests lie: beside the project, or where the environment says; never inside the project."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FSDD = Path(os.environ.get("AUDIOFEED_FSDD", SHARED / "fsdd"))
