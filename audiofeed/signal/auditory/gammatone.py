"""Gammatone filters on the ERB scale: center frequencies and magnitude responses, in float64."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.scales import fft_frequencies

# Glasberg and Moore (1990): an auditory filter at f Hz is as wide as a rectangle of 24.7 + f / 9.26449 Hz.
_EAR_Q = 9.26449
_NARROWEST_HZ = 24.7
# A gammatone of order 4 with decay 2 pi 1.019 ERB has that equivalent rectangular bandwidth (Patterson et al., 1992).
_DECAY = 1.019 * 2.0 * np.pi

WEIGHTINGS = {"magnitude": 1, "power": 2}


def equivalent_bandwidth(frequencies: np.ndarray) -> np.ndarray:
    """Return the equivalent rectangular bandwidth (ERB) in Hz of the ear's gammatone filters, in float64.

    That of auditory filters at `frequencies` Hz.

    >>> equivalent_bandwidth(np.array([1000.0])).round(2).tolist()
    [132.64]
    """
    return _NARROWEST_HZ + np.asarray(frequencies, dtype=np.float64) / _EAR_Q


def gammatone_frequencies(n_bins: int, *, f_min: float, f_max: float) -> np.ndarray:
    """Return the center frequencies of gammatone filters in Hz, evenly spaced in ERBs, in float64.

    `n_bins` of them from `f_min` up, the last one step below `f_max`: Slaney's `ERBSpace` (1993), low to high.

    >>> gammatone_frequencies(3, f_min=100.0, f_max=4000.0).round(1).tolist()
    [100.0, 541.6, 1576.1]
    """
    # the number of ERBs below f is the integral of 1 / ERB: Q ln(1 + f / (Q * 24.7)), so equal steps are equal ratios
    offset = _EAR_Q * _NARROWEST_HZ
    return np.geomspace(f_min + offset, f_max + offset, n_bins + 1)[:-1] - offset


def gammatone_response(frequencies: np.ndarray, center: np.ndarray, *, sample_rate: float, width: float) -> np.ndarray:
    """Return the magnitude response of Slaney's digital gammatone filters of order 4, in float64.

    The response |H| is 1 at the center frequency.

    Slaney (1993) makes a gammatone of four sections, each of one real zero and the same pair of poles. With
    r = exp(-2 pi 1.019 ERB / sample_rate) and the center at angle c, the poles are r exp(+-ic) and the zeros
    r (cos c +- sqrt(3 +- 2^1.5) sin c).

    Args:
        frequencies: Hz, (n,).
        center: center frequencies in Hz, (bins,).
        sample_rate: Hz.
        width: bandwidths in units of the ear's.

    Returns:
        float64 array of shape (bins, n).
    """
    angle = 2.0 * np.pi * np.asarray(center, dtype=np.float64)[:, None] / sample_rate
    radius = np.exp(-_DECAY * width * equivalent_bandwidth(center)[:, None] / sample_rate)
    pole = radius * np.exp(1j * angle)
    steps = [sign * np.sqrt(3.0 + other * 2.0**1.5) for sign in (1, -1) for other in (1, -1)]
    zeros = [radius * (np.cos(angle) + step * np.sin(angle)) for step in steps]

    def unscaled(at: np.ndarray) -> np.ndarray:
        z = np.exp(1j * at)
        sections = np.ones(np.broadcast_shapes(z.shape, angle.shape))
        for zero in zeros:
            sections = sections * np.abs(z - zero) / (np.abs(z - pole) * np.abs(z - pole.conj()))
        return sections

    return unscaled(2.0 * np.pi * np.asarray(frequencies)[None] / sample_rate) / unscaled(angle)


def gammatone_filterbank(
    *,
    sample_rate: float,
    n_fft: int,
    n_bins: int = 64,
    f_min: float = 50.0,
    f_max: float | None = None,
    width: float = 1.0,
    weighting: str = "magnitude",
    norm: str | float | None = None,
) -> np.ndarray:
    """Return the weights that gather a spectrum's bins as gammatone filters would, in float64 (Ellis, 2009).

    Args:
        sample_rate: Hz.
        n_fft: FFT length in samples.
        n_bins: number of filters.
        f_min, f_max: Hz; see `gammatone_frequencies`. `f_max=None` is sample_rate / 2.
        width: bandwidths in units of the ear's.
        weighting: "magnitude" (|H|) or "power" (|H|^2).
        norm: None (1 at the center frequency), "slaney" (each filter has area 1 in Hz), "n_fft" (1 / n_fft at the
            center frequency), or a number p > 0 (each row has p-norm 1).

    Returns:
        float64 array of shape (n_bins, n_fft // 2 + 1).

    Raises:
        ValueError: for an unknown weighting or norm.

    >>> gammatone_filterbank(sample_rate=16000, n_fft=512).shape
    (64, 257)
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting={weighting!r} must be 'magnitude' or 'power'")
    top = sample_rate / 2.0 if f_max is None else f_max
    center = gammatone_frequencies(n_bins, f_min=f_min, f_max=top)
    bins = fft_frequencies(sample_rate, n_fft)
    weights = gammatone_response(bins, center, sample_rate=sample_rate, width=width) ** WEIGHTINGS[weighting]
    if norm is None:
        return weights
    if norm == "n_fft":
        return weights / n_fft
    if norm == "slaney":
        return weights / (weights.sum(axis=1, keepdims=True) * sample_rate / n_fft)
    if isinstance(norm, str) or not norm > 0:
        raise ValueError(f"norm={norm!r} must be None, 'slaney', 'n_fft', or a number p > 0")
    return weights / np.linalg.norm(weights, ord=float(norm), axis=1, keepdims=True)
