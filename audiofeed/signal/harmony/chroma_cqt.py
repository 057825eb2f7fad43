"""The definition of chroma from constant-Q bins, in float64."""

from __future__ import annotations

import math

import numpy as np

from audiofeed.signal.constant_q.tuning import LOWEST_A
from audiofeed.signal.constant_q.wavelets import C1


def cq_to_chroma(
    n_bins: int,
    *,
    bins_per_octave: int = 12,
    n_chroma: int = 12,
    f_min: float = C1,
    window: np.ndarray | None = None,
    base_c: bool = True,
) -> np.ndarray:
    """Return the matrix that maps constant-Q bins to chroma, in float64, equal to `librosa.filters.cq_to_chroma`.

    It holds the constant-Q bins of each pitch class. A class takes as many neighboring bins of every octave as there
    are to a class, around the one on its own pitch.

    Args:
        n_bins: constant-Q bins, of which the lowest is at `f_min` Hz.
        bins_per_octave: a multiple of `n_chroma`, the classes in an octave.
        window: what each class is convolved with along the bins; None: nothing.
        base_c: class 0 is C; False: A.

    Returns:
        float64 array of shape (n_chroma, n_bins).

    >>> cq_to_chroma(36, bins_per_octave=36, f_min=440.0)[9].nonzero()[0].tolist()
    [0, 1, 35]
    """
    width = bins_per_octave // n_chroma
    # semitones of the lowest bin above a C (or an A), rounded to classes as librosa has it
    semitones = (12.0 * math.log2(f_min / LOWEST_A) + (9.0 if base_c else 0.0)) % 12.0
    lowest = round(semitones * (n_chroma / 12.0))
    own = (lowest + (np.arange(n_bins) + width // 2) // width) % n_chroma
    classes = (own == np.arange(n_chroma)[:, None]).astype(np.float64)
    if window is None:
        return classes
    start = (len(window) - 1) // 2  # the part of each convolution that lies on the bins
    return np.stack([np.convolve(row, window)[start : start + n_bins] for row in classes])
