"""The Fourier basis of a short-time transform, in float64."""

from __future__ import annotations

import numpy as np


def fourier_basis(window: np.ndarray) -> np.ndarray:
    """Return the windowed Fourier basis of a short-time transform, in float64.

    Windowed cosines, then windowed negated sines: the real and imaginary parts of a real DFT as two matrices.

    Args:
        window: (n_fft,) analysis window.

    Returns:
        float64 array of shape (2 * (n_fft // 2 + 1), n_fft): rows 0..bins-1 real, the rest imaginary.

    >>> fourier_basis(np.ones(4)).shape
    (6, 4)
    """
    n_fft = window.shape[0]
    # k * n mod n_fft before the division keeps the angle below one turn, where the cosine is exact to an ulp
    turns = np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) % n_fft
    angle = (2.0 * np.pi / n_fft) * turns
    return np.concatenate([np.cos(angle), -np.sin(angle)]) * window
