"""The gallery's list: its order, and words for its pictures, which sphinx-gallery leaves without: the pages' titles."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

ORDER = ("plot_transforms.py", "plot_augmentations.py")


class InOrder:
    """The place of a script: features first, then what is done to them; a script without a place comes last.

    Args:
        folder: of the scripts.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, file: str) -> tuple[int, str]:
        return (ORDER.index(file) if file in ORDER else len(ORDER), file)


def _add_words(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    if not page.startswith("gallery/") or "body" not in context:
        return

    def worded(picture: re.Match[str]) -> str:
        title = app.env.titles.get(f"gallery/{picture[2]}")
        return picture[0] if title is None else picture[0].replace('alt=""', f'alt="A picture of: {title.astext()}"')

    context["body"] = re.sub(r'<img alt=""([^>]*?)sphx_glr_(\w+)_thumb[^>]*>', worded, context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the words when a page is written."""
    app.connect("html-page-context", _add_words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
