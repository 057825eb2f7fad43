"""The definition of deltas: filters for the slope of features over frames, in float64."""

from __future__ import annotations

import math

import numpy as np


def slope_filter(width: int, order: int) -> np.ndarray:
    """Return the filter for slopes (deltas) of a cepstrum over time, in float64, that of `librosa.feature.delta`.

    The weights of `width` equally spaced values that give the `order`-th derivative of the polynomial of that degree
    fitted to them by least squares: the Savitzky-Golay filter.

    That derivative is the same at every point of the fit. For order 1 it is the slope that HTK, Kaldi and torchaudio
    call delta: sum n (x[t + n] - x[t - n]) / (2 sum n^2).

    Args:
        width: values, any integer >= 1. Of `order` or fewer values no such derivative is known: the weights are 0.
        order: 1 or more.

    Returns:
        float64 array of shape (width,), to be correlated with the values.

    >>> slope_filter(5, 1).tolist()
    [-0.2, -0.1, 0.0, 0.1, 0.2]
    """
    if width <= order:
        return np.zeros(width)
    # The leading coefficient of the fit is the projection on the discrete orthogonal polynomial of that degree, which
    # Gram-Schmidt makes of 1, t, t^2, ... over points scaled to -1..1. Its own leading coefficient is kept monic.
    # (2 t - width + 1) keeps the points whole, and so the filter exactly symmetric.
    half = max(width - 1, 1) / 2.0
    points = (2.0 * np.arange(width) - (width - 1)) / 2.0 / half
    previous, current = np.zeros(width), np.ones(width)
    for _ in range(order):
        # three-term recurrence; the points are symmetric, so that the middle term is 0
        below = previous @ previous
        following = points * current - ((points * current) @ previous / below if below else 0.0) * previous
        previous, current = current, following
    return current / (current @ current) * math.factorial(order) / half**order


def slope_filters(width: int, order: int) -> np.ndarray:
    """Return the filters for slopes (deltas) of a cepstrum over few frames, in float64, one in each row.

    Row i is `slope_filter` of i values, followed by zeros, for 0 to `width` values: an array of shape
    (width + 1, width).

    >>> slope_filters(3, 1).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [-0.5, 0.0, 0.5]]
    """
    rows = [slope_filter(n, order) for n in range(1, width + 1)]
    return np.stack([np.zeros(width), *[np.pad(row, (0, width - len(row))) for row in rows]])
