"""Tuning relative to A440: the range of pitches, and the histogram of their deviations."""

from __future__ import annotations

import math

import numpy as np

from audiofeed.signal.scales import fft_frequencies

# A0 of a piano tuned to 440 Hz: octaves are counted from here, so that whole octaves are the note A
LOWEST_A = 440.0 / 16

# how far an estimate of the tuning can lie from the truth, in bins of the chroma
TUNING_STEP = 0.01


def pitch_bins(*, sample_rate: float, n_fft: int) -> tuple[int, int]:
    """Return the FFT bins whose pitches count in the definition of tuning, as (first, end).

    From 150 Hz to below 4000 Hz or half the rate.

    >>> pitch_bins(sample_rate=8000, n_fft=512)
    (10, 256)
    """
    hz = fft_frequencies(sample_rate, n_fft)
    inside = np.flatnonzero((hz >= 150.0) & (hz < min(4000.0, sample_rate / 2)))
    return (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)


def tuning_edges() -> np.ndarray:
    """Return the edges of the histogram that defines tuning, of deviations from the nearest class, in float64.

    Shape: (101,).

    >>> tuning_edges()[[0, 50, 100]].tolist()
    [-0.5, 0.0, 0.5]
    """
    return np.linspace(-0.5, 0.5, math.ceil(1.0 / TUNING_STEP) + 1)
