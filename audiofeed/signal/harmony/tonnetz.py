"""The definition of the tonnetz: coordinates of pitch classes, in float64."""

from __future__ import annotations

import numpy as np


def tonnetz_basis(n_chroma: int = 12) -> np.ndarray:
    """Return the matrix that maps chroma to the tonal centroid (tonnetz), in float64.

    Coordinates of pitch classes on the circles of fifths, minor thirds and major thirds: sine, cosine of each.

    Harte, Sandler and Gasser, "Detecting harmonic change in musical audio" (2006): the circles have radius 1, 1, 1/2.
    A semitone turns the first by 7/12, the second by 3/12 (9/12 backwards), the third by 4/12 (8/12 backwards).

    Returns:
        float64 array of shape (6, n_chroma).

    >>> tonnetz_basis()[:, 0].round(3).tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0, 0.5]
    """
    semitones = np.arange(n_chroma) * (12.0 / n_chroma)
    angle = np.pi * np.outer([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3], semitones)
    angle[::2] -= np.pi / 2  # a cosine a quarter turn late is a sine
    return np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5])[:, None] * np.cos(angle)
