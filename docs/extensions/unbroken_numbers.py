"""Numbers of tables stay in one line: a browser would break 2.8e-05 behind its hyphen."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

_NUMBER = re.compile(r"(\d[\d.]*e-\d+)")


def _keep_whole(_: Sphinx, tree: nodes.document) -> None:
    for entry in tree.findall(nodes.entry):
        for text in [text for text in entry.findall(nodes.Text) if _NUMBER.search(text)]:
            if isinstance(text.parent, nodes.literal):
                continue
            parts = [
                nodes.inline(part, part, classes=["number"]) if i % 2 else nodes.Text(part)
                for i, part in enumerate(_NUMBER.split(text.astext()))
            ]
            text.parent.replace(text, [part for part in parts if part.astext()])


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at the tables of each page that is read."""
    app.connect("doctree-read", _keep_whole)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
