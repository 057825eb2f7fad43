"""The diff of a training script that had torchaudio, on the page docs/coming_from/torchaudio.md.

python -m tests.docs.moved_script  # writes it there
"""

from __future__ import annotations

import difflib
import re

from tests.pages import ROOT

BEFORE, AFTER = ROOT / "examples" / "from_torchaudio_before.py", ROOT / "examples" / "from_torchaudio.py"
PAGE = ROOT / "docs" / "coming_from" / "torchaudio.md"


def diff() -> list[str]:
    """The lines of the unified diff, without those of its head."""
    lines = [path.read_text().splitlines() for path in (BEFORE, AFTER)]
    return list(difflib.unified_diff(*lines, lineterm="", n=1))[2:]


def changed() -> list[str]:
    """The lines that are taken out or put in."""
    return [line for line in diff() if line[0] in "+-"]


def written(text: str) -> str:
    """A page's text with the diff of today in it."""
    shown = "\n".join(line if line.startswith("@@") else line.rstrip() for line in diff())
    out, put = (sum(line[0] == sign for line in changed()) for sign in "-+")
    block = f"{out} lines out, {put} in:\n\n```diff\n{shown}\n```"
    return re.sub(
        r"<!-- diff -->\n.*?<!-- end diff -->",
        lambda _: f"<!-- diff -->\n{block}\n<!-- end diff -->",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
