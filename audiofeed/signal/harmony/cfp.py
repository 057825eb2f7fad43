"""Log-frequency filters over a spectrum and over a cepstrum, in float64."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.scales import fft_frequencies
from audiofeed.signal.short_time.log_frequency import frequency_grid


def cfp_frequencies(*, f_min: float, f_max: float, bins_per_octave: float) -> np.ndarray:
    """Return the frequencies in Hz at which the filters of CFP (frequency and periodicity) peak, in float64.

    f_min * 2^(k / bins_per_octave) as far as `f_max`.

    >>> cfp_frequencies(f_min=80.0, f_max=1000.0, bins_per_octave=48).shape
    (175,)
    """
    return frequency_grid(freq_scale="octave", f_min=f_min, f_max=f_max, bins_per_octave=bins_per_octave)


def spectrum_filterbank(
    *, sample_rate: float, n_fft: int, f_min: float, f_max: float, bins_per_octave: float
) -> np.ndarray:
    """Return the triangular log-frequency filters of CFP over the bins of a spectrum, in float64.

    Triangles of peak 1 between neighboring peaks. A triangle narrower than a bin takes the bin in which it lies whole,
    and one between two bins the nearer.

    Returns:
        float64 array of shape (bands, n_fft // 2 + 1).

    >>> filters = spectrum_filterbank(sample_rate=8000, n_fft=400, f_min=100.0, f_max=800.0, bins_per_octave=12)
    >>> filters.shape, filters[-1, 36:44].round(2).tolist()
    ((37, 201), [0.0, 0.0, 0.11, 0.55, 1.0, 0.58, 0.16, 0.0])
    """
    peaks = cfp_frequencies(f_min=f_min, f_max=f_max, bins_per_octave=bins_per_octave)
    bins = fft_frequencies(sample_rate, n_fft)
    weights = _triangles(peaks, bins, bins_per_octave)
    ratio = 2.0 ** (1.0 / bins_per_octave)
    in_bins = peaks * n_fft / sample_rate
    narrow = np.rint(in_bins / ratio) == np.rint(in_bins * ratio)
    weights[narrow] = 0.0
    whole = np.where(narrow, np.rint(in_bins / ratio), np.rint(in_bins)).astype(int).clip(0, len(bins) - 1)
    empty = ~weights.any(axis=1)
    weights[empty, whole[empty]] = 1.0
    return weights


def cepstrum_filterbank(
    *, sample_rate: float, n_fft: int, f_min: float, f_max: float, bins_per_octave: float
) -> np.ndarray:
    """Return the triangular log-frequency filters of CFP over the quefrencies of a cepstrum, in float64.

    The same triangles as over a spectrum; quefrency n stands for sample_rate / n Hz. Where quefrencies are further
    apart than filters, a filter between two of them is 0.

    Returns:
        float64 array of shape (bands, n_fft // 2 + 1).

    >>> filters = cepstrum_filterbank(sample_rate=8000, n_fft=400, f_min=100.0, f_max=800.0, bins_per_octave=12)
    >>> filters.shape, filters[0, 76:86].round(2).tolist()
    ((37, 201), [0.11, 0.34, 0.57, 0.79, 1.0, 0.78, 0.57, 0.36, 0.15, 0.0])
    """
    peaks = cfp_frequencies(f_min=f_min, f_max=f_max, bins_per_octave=bins_per_octave)
    quefrencies = sample_rate / np.arange(1, n_fft // 2 + 1)
    weights = _triangles(peaks, quefrencies, bins_per_octave)
    return np.pad(weights, ((0, 0), (1, 0)))


def _triangles(peaks: np.ndarray, places: np.ndarray, bins_per_octave: float) -> np.ndarray:
    """Return the weights of CFP's triangular filters at given frequencies, in float64.

    The triangles are 1 at a peak and 0 at its neighbors; their weights are those at `places`.  Shape: (peaks, places).
    """
    ratio = 2.0 ** (1.0 / bins_per_octave)
    low, peak, high = peaks[:, None] / ratio, peaks[:, None], peaks[:, None] * ratio
    return np.maximum(0.0, np.minimum((places - low) / (peak - low), (high - places) / (high - peak)))
