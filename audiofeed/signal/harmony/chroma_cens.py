"""The definition of chroma CENS: its smoothing window, in float64."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.windows import Window, get_window


def smoothing_filter(window: Window, length: int) -> np.ndarray:
    """Return the window that smooths chroma over frames for CENS, in float64, with sum 1.

    A symmetric window; `length` does not count its two ends, which are 0 for a Hann window.

    Args:
        window: see `audiofeed.signal.get_window`.
        length: frames.

    Returns:
        float64 array of shape (length + 2,).

    >>> smoothing_filter("hann", 1).tolist()
    [0.0, 1.0, 0.0]
    """
    samples = get_window(window, length + 2, periodic=False)
    return samples / samples.sum()
