"""Figures of matplotlib, drawn without pyplot, which a notebook shows and a file keeps."""

from __future__ import annotations

import functools
import io
import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 120


def new_figure(width: float, height: float, asked_by: str) -> Figure:
    """Make a matplotlib figure that is drawn without pyplot and that a notebook shows as a picture.

    Args:
        width: Inches.
        height: Inches.
        asked_by: What needs matplotlib, for the error.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; the message names the extra.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{asked_by} needs matplotlib: pip install audiofeed[plot]") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    # a notebook knows how to show figures only once pyplot was imported, which this never does
    shown: Any = figure
    shown._repr_png_ = functools.partial(_png, figure)
    return figure


def saved(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Return a drawn figure, after it was written to a file if there is a path; the extension selects the format.

    Raises:
        TypeError: The path is none.
        ValueError: The path has no extension of a picture.
    """
    if path is not None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path={path!r} must be the path of a file, a string or a Path, or None to write none")
        if PurePath(path).suffix.lstrip(".").lower() not in figure.canvas.get_supported_filetypes():
            raise ValueError(f"path={os.fspath(path)!r} must end in .png, .pdf or .svg, which selects the format")
        figure.savefig(path, dpi=_DPI)
    return figure


def _png(figure: Figure) -> bytes:
    """Return a drawn figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()
