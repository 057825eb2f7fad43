"""A picture of the durations in a surveyed corpus."""

from __future__ import annotations

import numpy as np

from audiofeed.survey.settings import ScanError
from audiofeed.survey.summary import histogram_edges

_BINS = 40
_WIDE = 40.0
# the first two of Okabe and Ito's colors, which people who do not see all colors tell apart
_BLUE, _ORANGE = "#0072B2", "#E69F00"


def plot_durations(seconds: np.ndarray, path: str, title: str) -> None:
    """Draw the lengths of a surveyed corpus's clips: how many clips there are of each, and how many hours they add to.

    Args:
        seconds: Length of each clip.
        path: The picture's file; its extension selects the format: .png, .pdf, .svg.
        title: The corpus.

    Raises:
        ScanError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ScanError("--plot needs matplotlib: pip install 'audiofeed[plot]'") from error
    shortest, longest = float(seconds.min()), float(seconds.max())
    logarithmic = longest > _WIDE * shortest
    if logarithmic:
        edges = np.geomspace(shortest, longest * (1 + 1e-9), _BINS + 1)
    else:
        round_ones = histogram_edges(shortest, longest)
        edges = np.linspace(round_ones[0], round_ones[-1], _BINS + 1)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.hist(seconds, edges, color=_BLUE)
    upper.set_ylabel("clips")
    lower.hist(seconds, edges, weights=seconds / 3600, color=_ORANGE)
    lower.set_ylabel("hours")
    lower.set_xlabel("length of a clip (s)")
    if logarithmic:
        lower.set_xscale("log")
        lower.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for axes in (upper, lower):
        for quantile, style, name in ((0.5, "-", "median"), (0.95, "--", "5 % above")):
            at = float(np.quantile(seconds, quantile))
            axes.axvline(at, color="black", linewidth=1, linestyle=style, label=f"{name}: {at:.3g} s")
    upper.legend(frameon=False, fontsize=9)
    upper.set_title(f"{title}: {len(seconds):,} clips, {seconds.sum() / 3600:,.2f} h", fontsize=10)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise ScanError(f"--plot {path!r} cannot be written: {error}") from error
