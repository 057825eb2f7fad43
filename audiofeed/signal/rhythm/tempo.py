"""Tempi of the lags and of the bins of a tempogram, in float64."""

from __future__ import annotations

import numpy as np


def lag_tempi(n_lags: int, *, sample_rate: float, hop_length: int) -> np.ndarray:
    """Return the tempo in beats per minute at each lag of a tempogram, in float64.

    The tempi whose period is 0, 1, 2, ... frames; infinite for 0.  Shape: (n_lags,).

    >>> lag_tempi(4, sample_rate=16000, hop_length=160).tolist()
    [inf, 6000.0, 3000.0, 2000.0]
    """
    tempi = np.full(n_lags, np.inf)
    tempi[1:] = 60.0 * sample_rate / (hop_length * np.arange(1, n_lags))
    return tempi


def fourier_tempi(win_length: int, *, sample_rate: float, hop_length: int) -> np.ndarray:
    """Return the tempo in beats per minute at each bin of a Fourier tempogram, in float64.

    The bins are those of a Fourier transform over frames.  Shape: (win_length // 2 + 1,).

    >>> fourier_tempi(4, sample_rate=16000, hop_length=160).tolist()
    [0.0, 1500.0, 3000.0]
    """
    return np.fft.rfftfreq(win_length, d=hop_length / (60.0 * sample_rate))
