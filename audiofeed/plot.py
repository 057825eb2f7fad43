"""Pictures of batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiofeed.feed import AudioBatch
from audiofeed.feed.transform_contract import frequencies_of, log_of, times_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNITS = {"db": "dB", "ln": "ln(power)", "log10": "log10(power)"}
# a sequential map that reads the same to color-blind eyes and in gray, without a light gray of its own
_COLORS = "viridis"
_PADDING: dict[str, Any] = {"facecolor": "0.9", "edgecolor": "0.6", "hatch": "////", "linewidth": 0}


def plot_batch(
    batch: AudioBatch,
    path: str | os.PathLike[str],
    transform: torch.nn.Module,
    *,
    classes: Sequence[str] | None = None,
    clips: int = 8,
    unit: str | None = None,
) -> None:
    """Plot the features of a batch's first clips, side by side on one scale, with their padding hatched.

    Args:
        batch: A batch with features (batch, bins, frames), in either `layout`; of several channels the first is drawn.
        path: The picture's file; its extension selects the format: .png, .pdf, .svg.
        transform: The transform of the features: its `times(n_frames)` (seconds) and `frequencies` (Hz) label the axes;
            if it has none, or was made without a sample rate, frames and bins are counted.
        classes: Names of integer targets.
        clips: Largest number of clips to draw, 1 or more.
        unit: Label of the color bar; None takes the unit of the transform's `log`, if it has one.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        ValueError: The batch has no real features of that shape, or `clips` is less than 1.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("plot_batch needs matplotlib: pip install audiofeed[plot]") from error
    if clips < 1:
        raise ValueError(f"clips={clips!r} must be 1 or more")
    features = batch.features
    if not isinstance(features, torch.Tensor) or features.dim() not in (3, 4) or features.is_complex():
        found = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        raise ValueError(f"batch.features is {found}; plot_batch draws real features of (batch, bins, frames)")
    shown = min(clips, len(batch))
    features = features if batch.layout == "bins_frames" else features.mT
    values = features[:shown].detach().float().cpu()
    values = values[:, 0] if values.dim() == 4 else values
    frames = values.shape[-1]
    lengths = [frames] * shown if batch.feature_lengths is None else batch.feature_lengths[:shown].tolist()
    own = np.concatenate([values[i, :, :n].numpy().ravel() for i, n in enumerate(lengths)])
    scale = {"vmin": float(own.min()), "vmax": float(own.max()), "cmap": _COLORS}
    seconds, frequencies = times_of(transform, frames), frequencies_of(transform)
    times = _edges(np.arange(frames) if seconds is None else np.asarray(seconds))
    frequencies = None if frequencies is None else np.asarray(frequencies, dtype=np.float64)

    columns = min(4, shown)
    rows = -(-shown // columns)
    figure = Figure(figsize=(3.3 * columns + 1.2, 2.5 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[shown:]:
        axes.set_visible(False)
    for i, axes in enumerate(grid.flat[:shown]):
        mesh = axes.pcolormesh(times, np.arange(values.shape[1] + 1), values[i].numpy(), rasterized=True, **scale)
        _hatch(axes, times[lengths[i]], times[-1])
        axes.set_title(_title(batch, i, classes), fontsize=9)
    _label_bins(grid[0, 0], values.shape[1], frequencies)
    for axes in grid[:, 0]:
        axes.set_ylabel("bin" if frequencies is None else "frequency (Hz)")
    for column in range(columns):
        lowest = grid[(shown - 1 - column) // columns, column]
        lowest.set_xlabel("frame" if seconds is None else "time (s)")
        lowest.tick_params(labelbottom=True)
    if unit is None:
        unit = _UNITS.get(log_of(transform) or "", "")
    figure.colorbar(mesh, ax=grid, label=unit, fraction=0.03, pad=0.02)
    if min(lengths) < frames:
        figure.legend(
            handles=[Patch(**_PADDING, label="padding")], loc="outside lower right", fontsize=9, frameon=False
        )
    figure.savefig(path, dpi=120)


def _edges(centers: np.ndarray) -> np.ndarray:
    """Return the edges of a plot's cells from their equally spaced centers.

    >>> _edges(np.array([0.0, 1.0, 2.0]))
    array([-0.5,  0.5,  1.5,  2.5])
    """
    step = centers[1] - centers[0] if len(centers) > 1 else 1.0
    return np.concatenate([centers - step / 2, [centers[-1] + step / 2]])


def _label_bins(axes: Axes, bins: int, frequencies: np.ndarray | None) -> None:
    """Label round frequencies on the axis of a plot, at their places between the bins' centers."""
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


def _hatch(axes: Axes, start: float, end: float) -> None:
    """Hatch the padding of a plotted clip between two times."""
    if start < end:
        axes.axvspan(start, end, **_PADDING, zorder=2)
        axes.axvline(start, color="black", linewidth=0.8, zorder=3)


def _title(batch: AudioBatch, index: int, classes: Sequence[str] | None) -> str:
    """Return the title of a clip's plot: its class and the name of its file."""
    parts = []
    if isinstance(batch.targets, (torch.Tensor, list)):
        target = batch.targets[index]
        if isinstance(target, torch.Tensor) and target.numel() == 1:
            target = target.item()
        parts.append(str(classes[target]) if classes is not None and isinstance(target, int) else str(target))
    if batch.names is not None and batch.names[index] is not None:
        name = PurePath(str(batch.names[index])).name
        parts.append(name if len(name) <= 28 else f"{name[:12]}...{name[-13:]}")
    return "\n".join(parts)
