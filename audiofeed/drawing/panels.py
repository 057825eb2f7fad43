"""Panels of features or waveforms, clip beside clip on one scale, with their padding hatched, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audiofeed.drawing.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# a sequential map that reads the same to color-blind eyes and in gray, without a light gray of its own
COLORS = "viridis"
# the blue of Okabe and Ito's colors, which people who do not see all colors tell from the others
BLUE = "#0072B2"
_PADDING: dict[str, Any] = {"facecolor": "0.9", "edgecolor": "0.6", "hatch": "////", "linewidth": 0}
_COLUMNS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictured:
    """Pictured values of clips: one feature, or their waveforms.

    Args:
        values: One array for each clip, all of one shape: (bins, frames) real, or (samples,) of a waveform.
        lengths: Frames or samples of each clip's own; what follows is padding.
        seconds: Centers of the frames or samples, (frames,); None: they are counted.
        frequencies: Hz of the bins, (bins,); None: they are counted.
        unit: Of the values.
        name: Of the feature, where there are several.
    """

    values: Sequence[np.ndarray]
    lengths: Sequence[int]
    seconds: np.ndarray | None = None
    frequencies: np.ndarray | None = None
    unit: str = ""
    name: str = ""

    @property
    def is_line(self) -> bool:
        """True if each clip's pictured values are drawn as a line: a waveform, or a feature of one bin."""
        return self.values[0].ndim == 1 or self.values[0].shape[0] == 1

    @property
    def is_waveform(self) -> bool:
        """True if the pictured values are waveforms."""
        return self.values[0].ndim == 1

    def edges(self) -> np.ndarray:
        """Return the edges of the pictured frames in seconds, or in frames where these are counted."""
        frames = self.values[0].shape[-1]
        return cell_edges(np.arange(frames) if self.seconds is None else self.seconds)


def draw_clips(
    pictured: Sequence[Pictured], titles: Sequence[str], *, heading: str = "", asked_by: str = "plot"
) -> Figure:
    """Draw panels of clips side by side, in a block of rows for each feature.

    Args:
        pictured: Features or waveforms of the same clips, one or more.
        titles: One for each clip.
        heading: Text above all.
        asked_by: What needs matplotlib, for the error.

    Returns:
        The figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    shown = len(titles)
    columns = min(_COLUMNS, shown)
    rows = -(-shown // columns)
    width, height = 3.3 * columns + 1.2, 2.5 * rows + 0.5
    figure = new_figure(width, height * len(pictured), asked_by)
    parts: Any = figure if len(pictured) == 1 else figure.subfigures(len(pictured), 1)
    blocks: list[Any] = np.atleast_1d(parts).tolist()
    for block, values in zip(blocks, pictured, strict=True):
        _draw_block(block, values, titles, rows, columns)
        if len(pictured) > 1:
            block.suptitle(values.name, fontsize=10)
    if heading:
        figure.suptitle(heading, fontsize=10)
    if any(min(values.lengths) < values.values[0].shape[-1] for values in pictured):
        legend_of_padding(figure)
    return figure


def _draw_block(block: Any, pictured: Pictured, titles: Sequence[str], rows: int, columns: int) -> None:
    """Draw the panels of one feature, in a figure or in a part of one."""
    shown = len(titles)
    grid = block.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[shown:]:
        axes.set_visible(False)
    own = [values[..., :length] for values, length in zip(pictured.values, pictured.lengths, strict=True)]
    limits = limits_of(own)
    mesh = None
    for i, axes in enumerate(grid.flat[:shown]):
        drawn = draw_panel(axes, pictured, i, limits)
        mesh = mesh if drawn is None else drawn
        left_out = int((~np.isfinite(own[i])).sum())
        not_finite = f"{left_out} values are not finite" if left_out else ""
        axes.set_title("\n".join(filter(None, [titles[i], not_finite])), fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel(height_label(pictured))
    for column in range(columns):
        lowest = grid[(shown - 1 - column) // columns, column]
        lowest.set_xlabel(time_label(pictured))
        lowest.tick_params(labelbottom=True)
    if mesh is not None:
        block.colorbar(mesh, ax=grid, label=pictured.unit, fraction=0.03, pad=0.02)


def draw_panel(axes: Axes, pictured: Pictured, i: int, limits: tuple[float, float], colors: str = COLORS) -> Any:
    """Draw one clip of pictured values on a panel, and return what a color bar is made of.

    Args:
        axes: The panel.
        pictured: The values.
        i: The clip's number.
        limits: Of the values.
        colors: Name of the color map.

    Returns:
        The mesh; None for a line, and where there are no values.
    """
    values, edges = pictured.values[i], pictured.edges()
    if not values.size:
        axes.text(0.5, 0.5, "no frames", ha="center", va="center", transform=axes.transAxes)
        return None
    mesh = None
    if pictured.is_line:
        length = pictured.lengths[i]
        centers = (edges[:-1] + edges[1:]) / 2
        axes.plot(centers[:length], values.reshape(-1)[:length], color=BLUE, linewidth=0.8, rasterized=True)
        axes.set_xlim(edges[0], edges[-1])
        low, high = limits
        room = 0.05 * (high - low) or 0.5
        axes.set_ylim(low - room, high + room)
    else:
        bins = np.arange(values.shape[0] + 1)
        shades: dict[str, Any] = {"vmin": limits[0], "vmax": limits[1], "cmap": colors}
        mesh = axes.pcolormesh(edges, bins, np.ma.masked_invalid(values), rasterized=True, **shades)
        label_bins(axes, values.shape[0], pictured.frequencies)
    hatch(axes, edges[pictured.lengths[i]], edges[-1])
    return mesh


def limits_of(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the smallest and the largest finite value that panels show; (0, 1) if there is none.

    >>> limits_of([np.array([1.0, -np.inf]), np.array([3.0])])
    (1.0, 3.0)
    """
    finite = [array[np.isfinite(array)] for array in arrays]
    finite = [array for array in finite if array.size]
    if not finite:
        return 0.0, 1.0
    return min(float(array.min()) for array in finite), max(float(array.max()) for array in finite)


def height_label(pictured: Pictured) -> str:
    """Return the label of a panel's upward axis."""
    if pictured.is_line:
        return pictured.unit or ("amplitude" if pictured.is_waveform else "value")
    return "bin" if pictured.frequencies is None else "frequency (Hz)"


def time_label(pictured: Pictured) -> str:
    """Return the label of a panel's axis of time."""
    if pictured.seconds is not None:
        return "time (s)"
    return "sample" if pictured.is_waveform else "frame"


def cell_edges(centers: np.ndarray) -> np.ndarray:
    """Return the edges of a panel's cells from their equally spaced centers.

    >>> cell_edges(np.array([0.0, 1.0, 2.0]))
    array([-0.5,  0.5,  1.5,  2.5])
    """
    if not len(centers):
        return np.array([-0.5])
    step = centers[1] - centers[0] if len(centers) > 1 else 1.0
    return np.concatenate([centers - step / 2, [centers[-1] + step / 2]])


def label_bins(axes: Axes, bins: int, frequencies: np.ndarray | None) -> None:
    """Label round frequencies on the axis of a panel, at their places between the bins' centers."""
    if frequencies is None or len(frequencies) != bins or bins < 2:
        return
    round_ones = [base * 10**power for power in range(1, 5) for base in (1, 2, 5)]
    inside = [f for f in round_ones if frequencies[0] <= f <= frequencies[-1]]
    places = np.interp(inside, frequencies, np.arange(bins) + 0.5)
    # a label needs room: from the top, leave out those that are too close
    kept: list[tuple[float, int]] = []
    for place, frequency in sorted(zip(places, inside, strict=True), reverse=True):
        if not kept or kept[-1][0] - place >= bins / 12:
            kept.append((float(place), frequency))
    axes.set_yticks([place for place, _ in kept], [f"{frequency}" for _, frequency in kept])


def hatch(axes: Axes, start: float, end: float) -> None:
    """Hatch the padding of a panel between two times."""
    if start < end:
        axes.axvspan(start, end, **_PADDING, zorder=2)
        axes.axvline(start, color="black", linewidth=0.8, zorder=3)


def legend_of_padding(figure: Figure) -> None:
    """Say in a figure's legend what is hatched on its panels."""
    from matplotlib.patches import Patch

    handles = [Patch(**_PADDING, label="padding")]
    figure.legend(handles=handles, loc="outside lower right", fontsize=9, frameon=False)
