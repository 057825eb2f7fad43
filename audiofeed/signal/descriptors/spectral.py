"""Constants of the descriptors of a spectrum's shape, in float64."""

from __future__ import annotations

import itertools

import numpy as np

from audiofeed.signal.scales import fft_frequencies


def moment_weights(*, sample_rate: float, n_fft: int) -> np.ndarray:
    """Return the weights of magnitudes in the moments that define spectral descriptors, in float64.

    For the first moment the frequency in Hz, for the total 1.  Shape: (2, bins).

    >>> moment_weights(sample_rate=8000, n_fft=4).tolist()
    [[0.0, 2000.0, 4000.0], [1.0, 1.0, 1.0]]
    """
    hz = fft_frequencies(sample_rate, n_fft)
    return np.stack([hz, np.ones_like(hz)])


def polynomial_fit(*, sample_rate: float, n_fft: int, order: int) -> np.ndarray:
    """Return the matrix that fits a polynomial to a spectrum, for a spectral descriptor, in float64.

    It gives the least-squares polynomial in frequency (Hz) of given values at the bins. A fit is linear in the values:
    column b holds the coefficients, highest power first, of the fit to 1 at bin b and 0 elsewhere.  Shape:
    (order + 1, bins).

    >>> fit = polynomial_fit(sample_rate=8, n_fft=8, order=1)
    >>> (fit @ [1.0, 3.0, 5.0, 7.0, 9.0]).round(9).tolist()
    [2.0, 1.0]
    """
    hz = fft_frequencies(sample_rate, n_fft)
    return np.polyfit(hz, np.eye(hz.size), order)


def contrast_bands(
    *, sample_rate: float, n_fft: int, f_min: float, n_bands: int, quantile: float
) -> tuple[tuple[int, int, int], ...]:
    """Return the octave bands of FFT bins that define the spectral descriptor contrast.

    Each is (first bin, end bin, how many bins are its peak, and how many its valley). The first band lies below
    `f_min`, the next are octaves from there; the last reaches to half the sample rate. A band begins one bin below its
    frequencies and, but for the last, ends one before its end: so does `librosa.feature.spectral_contrast`, and the
    share is of the bins before that one is left out.

    Raises:
        ValueError: for a band without a bin.

    >>> contrast_bands(sample_rate=16000, n_fft=512, f_min=500.0, n_bands=3, quantile=0.02)
    ((0, 16, 1), (15, 32, 1), (31, 64, 1), (63, 257, 4))
    """
    hz = fft_frequencies(sample_rate, n_fft)
    edges = np.concatenate([[0.0], f_min * 2.0 ** np.arange(n_bands + 1)])
    bands = []
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = np.flatnonzero((hz >= low) & (hz <= high))
        # the first bin of the band below is 0 Hz, which has none before it to begin with
        first = int(inside[0]) - (k > 0) if inside.size else 0
        end = hz.size if k == n_bands else int(inside[-1]) + 1 if inside.size else 0
        last = end if k == n_bands else end - 1
        if last <= first:
            raise ValueError(
                f"n_fft={n_fft!r} has no bin for the band from {low:g} to {high:g} Hz at sample_rate={sample_rate:g}; "
                "use a larger n_fft or f_min"
            )
        share = max(1, int(np.rint(quantile * (end - first))))
        bands.append((first, last, min(share, last - first)))
    return tuple(bands)
