"""The pages of docs/ and README.md: what stands in their fences, and running their Python."""

from __future__ import annotations

import re
import sys
import textwrap
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# what `make docs` makes, and what no reader is shown
NOT_WRITTEN = ("docs/_build", "docs/api", "docs/gallery", "docs/extensions", "docs/static")
FENCE = re.compile(r"^( *)```+(\S*).*$")
HIDDEN = re.compile(r"^<!-- (run|needs:)(.*)$")


@dataclass(frozen=True)
class Block:
    """What stands between two fences of a page.

    Args:
        language: As the fence says; "run" for Python that a reader is not shown, in a comment `<!-- run ... -->`.
        text: Its lines.
        line: Of the page, of its first line.
        needs: The packages without which it cannot run, from a comment `<!-- needs: name, name -->` before it.
    """

    language: str
    text: str
    line: int
    needs: tuple[str, ...] = ()


def pages() -> list[str]:
    """README.md and every page that somebody wrote, by their paths in the repository."""
    found = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", *(name for name in found if not name.startswith(NOT_WRITTEN))]


def blocks_of(name: str) -> list[Block]:
    """The blocks of a page, in their order.

    Args:
        name: Its path in the repository.
    """
    return blocks_in((ROOT / name).read_text())


def blocks_in(text: str) -> list[Block]:
    """The blocks of a page's text, in their order; what a fence of colons holds is read, too."""
    found: list[Block] = []
    lines = text.splitlines()
    needs: tuple[str, ...] = ()
    at = 0
    while at < len(lines):
        hidden, fence = HIDDEN.match(lines[at]), FENCE.match(lines[at])
        begin = at = at + 1
        if hidden and hidden[1] == "needs:":
            needs = tuple(re.findall(r"[\w.]+", hidden[2].replace("-->", "")))
        elif hidden:
            while "-->" not in lines[at]:
                at += 1
            found.append(Block("run", "\n".join(lines[begin:at]), begin + 1, needs))
            at, needs = at + 1, ()
        elif fence:
            closing = fence[0].strip().split(fence[2] or "\n")[0]
            while lines[at].strip() != closing:
                at += 1
            found.append(Block(fence[2], textwrap.dedent("\n".join(lines[begin:at])), begin + 1, needs))
            at, needs = at + 1, ()
    return found


def run_blocks(name: str, blocks: list[Block]) -> dict[str, Any]:
    """Run Python blocks of a page in one namespace, and return that.

    Args:
        name: The page's path in the repository.
        blocks: Those to run, in their order.
    """
    page = types.ModuleType("page_" + re.sub(r"\W", "_", name))
    sys.modules[page.__name__] = page  # so that what a block defines can be pickled
    for block in blocks:
        # the lines of a traceback are the page's
        exec(compile("\n" * (block.line - 1) + block.text, name, "exec"), page.__dict__)
    return page.__dict__


def run_page(name: str) -> dict[str, Any]:
    """Run all Python of a page here, in one namespace, and return that.

    Args:
        name: The page's path in the repository.
    """
    return run_blocks(name, [block for block in blocks_of(name) if block.language in ("python", "run")])
