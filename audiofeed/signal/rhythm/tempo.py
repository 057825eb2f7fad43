"""Tempi of the lags and of the bins of a tempogram, and where between them another tempo lies, in float64."""

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


def tempo_places(tempi: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the two rows of a tempogram between which each wanted tempo lies, the slower one first.

    A tempogram is read at a tempo that is none of its rows' by a straight line between the nearest slower and the
    nearest faster one, each weighed by its share (`tempo_shares`), and is 0 below its slowest and above its fastest
    row. A row of infinite tempo, which lag 0 is, is never read.

    Args:
        tempi: beats per minute of the rows, all different, rising or falling, two of them finite or more.
        wanted: beats per minute, of any shape.

    Returns:
        integers, (2, *wanted.shape).

    >>> tempo_places(np.array([np.inf, 60.0, 30.0, 20.0]), np.array([40.0, 10.0])).tolist()
    [[2, 3], [1, 2]]
    """
    slower, faster, rows, _ = _between(tempi, wanted)
    return np.stack((rows[slower], rows[faster]))


def tempo_shares(tempi: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the shares of the two rows between which each wanted tempo of a tempogram lies, in float64.

    Those of the rows of `tempo_places`; both are 0 for a tempo out of the tempogram's reach.

    Returns:
        (2, *wanted.shape).

    >>> tempo_shares(np.array([np.inf, 60.0, 30.0, 20.0]), np.array([45.0, 20.0, 10.0])).tolist()
    [[0.5, 1.0, 0.0], [0.5, 0.0, 0.0]]
    """
    slower, faster, _, rising = _between(tempi, wanted)
    share = (wanted - rising[slower]) / (rising[faster] - rising[slower])
    return np.where((wanted >= rising[0]) & (wanted <= rising[-1]), np.stack((1 - share, share)), 0.0)


def _between(tempi: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the neighbors of each wanted tempo among a tempogram's finite ones in rising order, their rows, and them.

    Shape: (n,), wanted -> two of the shape of wanted, two (finite,).
    """
    rows = np.flatnonzero(np.isfinite(tempi))
    rows = rows[np.argsort(tempi[rows])]
    rising = tempi[rows]
    faster = np.searchsorted(rising, wanted).clip(1, len(rising) - 1)
    return faster - 1, faster, rows, rising
