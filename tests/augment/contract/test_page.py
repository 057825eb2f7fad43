"""The page on augmentation names every augmentation."""

from __future__ import annotations

import audiofeed as af
from tests.pages import ROOT


def test_the_page_names_every_augmentation():
    page = (ROOT / "docs" / "augmentation.md").read_text()
    assert [name for name in af.augment.__all__ if f"`{name}" not in page and f"augment.{name}" not in page] == []
