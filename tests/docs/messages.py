"""The messages of errors and warnings in the source of audiofeed, found by reading it.

python -m tests.docs.messages  # prints those that docs/faq.md says nothing of
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.pages import ROOT

PAGE = ROOT / "docs" / "faq.md"
VALUE = "…"
# a call with such a name warns; one whose name ends in Error makes what is raised, and `self.wrong` too
WARNS = ("warn", "warn_caller", "warning")


@dataclass(frozen=True)
class Message:
    """A message in the source.

    Args:
        path: The file, from the package on.
        line: Where it is raised.
        kind: The error's class, or "warning".
        text: What it says, with … for each value.
    """

    path: str
    line: int
    kind: str
    text: str


def text_of(node: ast.expr) -> str:
    """What a string says, with … for what is put into it; … alone for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.IfExp):
        return text_of(node.body)
    return VALUE


def name_of(node: ast.expr) -> str:
    """The last name of what is called."""
    return ast.unparse(node).split("(")[0].split(".")[-1]


def messages_in(path: Path) -> list[Message]:
    """The messages of a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        kind = "warning" if name_of(node.func) in WARNS else ast.unparse(node.func).removesuffix(".of").split(".")[-1]
        if kind != "warning" and not kind.endswith("Error") and kind != "wrong":
            continue
        texts = [text for text in map(text_of, node.args) if re.search("[a-z]{3}", text)]
        if texts:
            text = re.sub(r"\s+", " ", texts[0])
            found.append(Message(path.relative_to(ROOT / "audiofeed").as_posix(), node.lineno, kind, text))
    return found


@cache
def messages() -> tuple[Message, ...]:
    """All messages of the package."""
    return tuple(message for path in sorted((ROOT / "audiofeed").rglob("*.py")) for message in messages_in(path))


def beginnings() -> list[str]:
    """The beginnings of messages that the page has, in its headings and after "Also:", ... for values."""
    found: list[str] = []
    for line in PAGE.read_text().splitlines():
        if line.startswith(("### ", "Also: ")):
            found += re.findall("`([^`]+)`", line)
    return found


def is_begun_by(message: Message, beginning: str) -> bool:
    """Whether a message begins so; three dots stand for anything."""
    pattern = ".*?".join(re.escape(part) for part in beginning.replace("....", "\0...").split("..."))
    pattern = pattern.replace(re.escape("\0"), re.escape("."))
    return re.match(pattern, message.text.replace(VALUE * 2, VALUE)) is not None


def unsaid() -> list[Message]:
    """The messages that no heading of the page begins."""
    said = beginnings()
    return [message for message in messages() if not any(is_begun_by(message, one) for one in said)]


if __name__ == "__main__":
    for message in unsaid():
        sys.stdout.write(f"{message.path}:{message.line} {message.kind}: {message.text}\n")
