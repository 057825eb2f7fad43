"""Test files that are skipped as a whole where a package is not installed."""

import importlib.util
import re
from pathlib import Path

_NEEDED = re.compile(r"^\w*\s*=?\s*pytest\.importorskip\(\s*\"(\w+)", re.MULTILINE)


def is_skipped_here(path: Path) -> bool:
    """Whether a test file skips itself at its import, since a package that it names is missing."""
    return any(importlib.util.find_spec(name) is None for name in _NEEDED.findall(path.read_text()))
