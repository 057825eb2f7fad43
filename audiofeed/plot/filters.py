"""`filters`: the response of every filter of a transform over frequency, as a figure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiofeed.arguments.meta_device import check_has_values
from audiofeed.drawing.figures import new_figure, saved
from audiofeed.drawing.found_filters import filters_in
from audiofeed.drawing.panels import COLORS
from audiofeed.signal.filter_responses import FilterResponses

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def filters(
    transform: torch.nn.Module, path: str | os.PathLike[str] | None = None, *, normalize: bool = False
) -> Figure:
    """Plot the response of every filter of a transform over frequency in Hz.

    Banks over FFT bins (mel, linear, Bark, gammatone, chroma, pseudo CQT) are drawn as they weigh the bins, kernels
    (constant-Q, sinc, Gabor) by their gain for a sine; trained ones as they are now. Of a transform that has others
    within it (`Chain`, `Stack`, `Tonnetz`) each with filters has a panel.

    Args:
        transform: A transform with filters, or a module that holds some.
        path: A file to write the picture to; its extension selects the format: .png, .pdf, .svg. None writes none.
        normalize: Draw each filter with its largest magnitude as 1, which shows those that are wide and low.

    Returns:
        The figure, which a notebook shows.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        TypeError: `transform` is no module, or `normalize` neither True nor False.
        ValueError: There is no filter in it, or it is on the meta device.

    >>> from audiofeed.transforms import MelSpectrogram
    >>> len(filters(MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40)).axes[0].lines)
    40
    """
    if not isinstance(transform, torch.nn.Module):
        raise TypeError(f"transform={transform!r} must be a module: a transform with filters, or one that holds some")
    if not isinstance(normalize, bool):
        raise TypeError(
            f"normalize={normalize!r} must be True or False: whether each filter is drawn with its peak at 1"
        )
    check_has_values("transform", transform)
    found = filters_in(transform)
    if not found:
        raise ValueError(
            f"{type(transform).__name__} has no filters to draw: give a transform with a filter bank (MelSpectrogram, "
            "MFCC, Gammatonegram, Chroma, ...) or kernels (CQT, SincFilterbank, GaborFilterbank), or a module that "
            "offers filter_responses()"
        )
    figure = new_figure(8.0, 3.2 * len(found), "af.plot.filters")
    grid = figure.subplots(len(found), 1, squeeze=False)
    for axes, (name, responses) in zip(grid[:, 0], found, strict=True):
        _draw(figure, axes, name, responses, normalize)
    return saved(figure, path)


def _draw(figure: Figure, axes: Any, name: str, responses: FilterResponses, normalize: bool) -> None:
    """Draw the responses of one filter bank."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    values, count = responses.values, len(responses.values)
    if normalize:
        peaks = np.abs(values).max(axis=1, keepdims=True)
        values = values / np.where(peaks > 0, peaks, 1.0)
    numbers = Normalize(0, max(count - 1, 1))
    for i, row in enumerate(values):
        # the last of the map are too light for a line on white
        axes.plot(responses.frequencies, row, color=colormaps[COLORS](0.9 * numbers(i)), linewidth=0.9)
    if responses.logarithmic:
        axes.set_xscale("log")
        low, high = _lowest(responses), responses.frequencies[-1]
        round_ones = [base * 10**power for power in range(1, 6) for base in (1, 2, 5)]
        axes.set_xticks(inside := [f for f in round_ones if low <= f <= high], [str(f) for f in inside])
        axes.minorticks_off()
    axes.set_xlim(_lowest(responses), responses.frequencies[-1])
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel(f"{responses.quantity}, largest = 1" if normalize else responses.quantity)
    axes.set_title(f"{name}, {count} filter{'s' * (count != 1)}", fontsize=10)
    axes.grid(alpha=0.3)
    colors = colormaps[COLORS].resampled(256)(np.linspace(0, 0.9, 256))
    shades = ScalarMappable(numbers, _map_of(colors))
    figure.colorbar(shades, ax=axes, label="filter", fraction=0.03, pad=0.02)


def _map_of(colors: np.ndarray) -> Any:
    """Return a color map of given colors, from the first filter to the last."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(colors)


def _lowest(responses: FilterResponses) -> float:
    """Return the frequency at which the axis of a filter bank's responses begins."""
    if not responses.logarithmic or responses.frequencies[0] > 0:
        return float(responses.frequencies[0])
    # a bank over FFT bins: half an octave below the lowest that it weighs
    used = responses.frequencies[np.flatnonzero(responses.values.any(axis=0))]
    positive = used[used > 0]
    return float(positive[0] if len(positive) else responses.frequencies[1]) / 2**0.5
