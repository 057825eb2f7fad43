"""What a figure of clips has drawn."""

from __future__ import annotations

from typing import Any

import numpy as np


def drawn(figure: Any, *, titled: bool = True) -> list[Any]:
    """The panels of clips, in order; those of clips without a title are told from color bars by their data."""
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
    return [axes for axes in panels if axes.get_title()] if titled else panels


def mesh_of(axes: Any) -> np.ndarray:
    """The values of a panel's mesh."""
    return np.asarray(axes.collections[0].get_array())
