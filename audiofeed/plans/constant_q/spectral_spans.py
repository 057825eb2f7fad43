"""Non-zero spans of the spectra of wavelets, so that a product can skip the zeros."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.constant_q.wavelets import WaveletBank, spectral_weights

# bins that are multiplied together, with the span of FFT bins that any of them reaches
_GROUP = 12

# (first bin, end bin, first FFT bin, end FFT bin)
Span = tuple[int, int, int, int]


def spectral_spans(weights: np.ndarray) -> tuple[Span, ...]:
    """Plan the spectral spans of a constant-Q bank: the FFT bins that groups of its rows reach.

    >>> spectral_spans(np.eye(13, 20, 3))
    ((0, 12, 3, 15), (12, 13, 15, 16))
    """
    found = []
    for first in range(0, len(weights), _GROUP):
        used = np.flatnonzero(weights[first : first + _GROUP].any(axis=0))
        end = min(first + _GROUP, len(weights))
        found.append((first, end, int(used[0]), int(used[-1]) + 1) if used.size else (first, end, 0, 1))
    return tuple(found)


def packed(weights: np.ndarray, spans: tuple[Span, ...]) -> np.ndarray:
    """Pack the spectral weights of a constant-Q bank that lie inside planned spans, one span after another.

    >>> packed(np.arange(8.0).reshape(2, 4), ((0, 1, 0, 2), (1, 2, 3, 4))).tolist()
    [0.0, 1.0, 7.0]
    """
    return np.concatenate([weights[first:end, low:high].ravel() for first, end, low, high in spans])


def packed_weights(bank: WaveletBank, n_fft: int, sparsity: float, scale: bool, spans: tuple[Span, ...]) -> np.ndarray:
    """Return the spectral weights of a wavelet bank that lie inside the planned spans of FFT bins.

    These are `spectral_weights` inside the spans.
    """
    return packed(spectral_weights(bank, n_fft, sparsity, scale), spans)
