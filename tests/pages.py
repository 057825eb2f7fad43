"""Pages of docs/ whose Python is run, block after block, and whose examples are looked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run_page(name: str, blocks: int) -> dict[str, Any]:
    """Run the Python of a page in one namespace, and return that.

    Args:
        name: of the file in docs/.
        blocks: how many blocks there are, so that none is lost by its fence.
    """
    found = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / name).read_text(), flags=re.DOTALL)
    assert len(found) == blocks
    names: dict[str, Any] = {}
    for block in found:
        exec(compile(block, name, "exec"), names)
    return names


def named_examples(name: str) -> list[Path]:
    """The paths of the examples that a page names."""
    text = (ROOT / "docs" / name).read_text()
    return [ROOT / found for found in re.findall(r"examples/\w+\.py", text)]
