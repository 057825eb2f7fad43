"""The windows by which a spectrum tells where its energy lies, in float64."""

from __future__ import annotations

import numpy as np


def derivative(window: np.ndarray) -> np.ndarray:
    """Return the derivative of a window for the reassignment of a spectrum, in float64.

    Its change per sample by central differences, the window taken as periodic. As `librosa.util.cyclic_gradient`.

    >>> derivative(np.array([0.0, 1.0, 2.0, 1.0])).tolist()
    [0.0, 1.0, 0.0, -1.0]
    """
    return (np.roll(window, -1) - np.roll(window, 1)) / 2.0


def time_weighted(window: np.ndarray) -> np.ndarray:
    """Return a window weighted by time for the reassignment of a spectrum, in float64.

    The window times the samples from its middle, which for an even length lies between two samples, as in librosa.

    >>> time_weighted(np.ones(4)).tolist(), time_weighted(np.ones(3)).tolist()
    ([-1.5, -0.5, 0.5, 1.5], [-1.0, 0.0, 1.0])
    """
    return window * (np.arange(window.shape[0]) - (window.shape[0] - 1) / 2.0)
