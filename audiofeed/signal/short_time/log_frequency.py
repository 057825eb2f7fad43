"""Frequencies on any scale, and the Fourier transform at them, in float64."""

from __future__ import annotations

import math

import numpy as np

FREQ_SCALES = ("linear", "log", "octave")


def frequency_grid(
    *,
    freq_scale: str,
    f_min: float,
    f_max: float,
    n_bins: int | None = None,
    bins_per_octave: float | None = None,
) -> np.ndarray:
    """Return the frequencies in Hz of a log-frequency (or linear) short-time spectrum, in float64.

    From `f_min` to `f_max`, both of them included.

    Args:
        freq_scale: "linear" (even steps in Hz), "log" or "octave" (even ratios).
        f_min, f_max: Hz; `f_min` > 0 where the ratios are even.
        n_bins: how many.
        bins_per_octave: instead of `n_bins`, with "octave": f_min * 2^(k / bins_per_octave) as far as `f_max`.

    Raises:
        ValueError: for an unknown scale.

    >>> frequency_grid(freq_scale="log", f_min=100.0, f_max=400.0, n_bins=3).round(6).tolist()
    [100.0, 200.0, 400.0]
    >>> frequency_grid(freq_scale="octave", f_min=100.0, f_max=450.0, bins_per_octave=1).tolist()
    [100.0, 200.0, 400.0]
    """
    if freq_scale not in FREQ_SCALES:
        raise ValueError(f"freq_scale={freq_scale!r} must be 'linear', 'log' or 'octave'")
    if bins_per_octave is not None:
        # an f_max that was itself computed as f_min * 2^(k / bins_per_octave) is to be reached, whatever its rounding
        steps = math.floor(bins_per_octave * math.log2(f_max / f_min) + 1e-9)
        return f_min * 2.0 ** (np.arange(steps + 1) / bins_per_octave)
    assert n_bins is not None
    if freq_scale == "linear":
        return np.linspace(f_min, f_max, n_bins)
    return np.geomspace(f_min, f_max, n_bins)


def frequency_basis(window: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Return the windowed basis of a short-time transform at log-spaced or any other frequencies, in float64.

    Windowed cosines, then windowed negated sines: `fourier_basis` between the bins too.

    Args:
        window: (n_fft,) analysis window.
        turns: (n,) frequencies in cycles per sample.

    Returns:
        float64 array of shape (2 * n, n_fft): rows 0..n-1 real, the rest imaginary.

    >>> frequency_basis(np.ones(4), np.array([0.0, 0.25])).round(6)[1].tolist()
    [1.0, 0.0, -1.0, -0.0]
    """
    angle = 2.0 * np.pi * (np.outer(turns, np.arange(window.shape[0])) % 1.0)
    return np.concatenate([np.cos(angle), -np.sin(angle)]) * window
