"""The `_repr_html_` of modules, which imports what draws their pages when a notebook asks for one."""

from __future__ import annotations

from torch import nn


def module_repr(module: nn.Module) -> str:
    """Return the page that a notebook shows of a module: see `module_page.module_html`."""
    from audiofeed.drawing.module_page import module_html

    return module_html(module)
