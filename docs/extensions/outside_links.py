"""Links of pages that leave docs/ lead to the file in the repository, since the site has no copy of it."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "https://github.com/audiofeed/audiofeed/blob/main"


def source_url(path: Path) -> str:
    """The address of a file or folder of the repository."""
    kind = "tree" if path.is_dir() else "blob"
    return f"{SOURCE.replace('/blob/', f'/{kind}/')}/{path.relative_to(ROOT)}"


def lead_outside(text: str, folder: Path) -> str:
    """Markdown whose relative links to existing files outside docs/ are addresses.

    Args:
        text: of the page.
        folder: where the page lies.
    """

    def address(link: re.Match[str]) -> str:
        path, anchor = (folder / link[1]).resolve(), link[2] or ""
        outside = path.exists() and path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "docs")
        return f"]({source_url(path)}{anchor})" if outside else link[0]

    return re.sub(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)", address, text)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    path = app.env.doc2path(page)
    if path.suffix == ".md":
        source[0] = lead_outside(source[0], path.parent)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the reader of pages to Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
