"""Filter banks given by center frequencies and bandwidths, in float64: triangles, rectangles, Gaussians.

`LogMelSpectrogram(filters=triangular_filters(...))` takes what these functions return.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audiofeed.signal.scales import fft_frequencies


def triangular_filters(
    center: npt.ArrayLike, bandwidth: npt.ArrayLike, *, sample_rate: float, n_fft: int
) -> np.ndarray:
    """Return a filter bank of triangles around center frequencies, max(0, 1 - |f - center| / bandwidth), in float64.

    They are SpeechBrain's filter_shape="triangular". There the centers lie evenly in mel, and each bandwidth is the
    distance to the center before: `points = mel_frequencies(n + 2, ...)`, `center = points[1:-1]`,
    `bandwidth = np.diff(points)[:-1]`.

    Args:
        center: (n,) Hz.
        bandwidth: a number of Hz, or (n,) of them, > 0: from the center to where a filter ends on either side.
        sample_rate: Hz.
        n_fft: FFT length in samples.

    Returns:
        float64 array of shape (n, n_fft // 2 + 1); a filter's peak is 1.

    Raises:
        ValueError: for centers that are not finite, or bandwidths that are not above 0 or are not as many.

    >>> triangular_filters([2000.0], 2000.0, sample_rate=8000, n_fft=8).tolist()
    [[0.0, 0.5, 1.0, 0.5, 0.0]]
    """
    return np.maximum(0.0, 1.0 - np.abs(_distances(center, bandwidth, sample_rate, n_fft)))


def rectangular_filters(
    center: npt.ArrayLike, bandwidth: npt.ArrayLike, *, sample_rate: float, n_fft: int
) -> np.ndarray:
    """Return a filter bank of rectangles around center frequencies, 1 from center - bandwidth to center + bandwidth.

    They are SpeechBrain's filter_shape="rectangular". See `triangular_filters` for the arguments and errors.

    Args:
        center: (n,) Hz.
        bandwidth: a number of Hz, or (n,) of them, > 0: half the width; bins on the edges are inside.
        sample_rate: Hz.
        n_fft: FFT length in samples.

    Returns:
        float64 array of shape (n, n_fft // 2 + 1).

    >>> rectangular_filters([2000.0], 1000.0, sample_rate=8000, n_fft=8).tolist()
    [[0.0, 1.0, 1.0, 1.0, 0.0]]
    """
    return (np.abs(_distances(center, bandwidth, sample_rate, n_fft)) <= 1.0).astype(np.float64)


def gaussian_filters(
    center: npt.ArrayLike, bandwidth: npt.ArrayLike, *, sample_rate: float, n_fft: int, factor: float = 2.0
) -> np.ndarray:
    """Return a filter bank of Gaussians around center frequencies, of deviation bandwidth / factor, in float64.

    They are SpeechBrain's filter_shape="gaussian". See `triangular_filters` for the arguments and errors.

    Args:
        center: (n,) Hz.
        bandwidth: a number of Hz, or (n,) of them, > 0.
        sample_rate: Hz.
        n_fft: FFT length in samples.
        factor: deviations in a bandwidth, > 0.

    Returns:
        float64 array of shape (n, n_fft // 2 + 1); a filter's peak is 1.

    >>> gaussian_filters([2000.0], 2000.0, sample_rate=8000, n_fft=8).round(3).tolist()
    [[0.135, 0.607, 1.0, 0.607, 0.135]]
    """
    if not (factor > 0 and np.isfinite(factor)):
        raise ValueError(f"factor={factor!r} must be a finite number > 0")
    return np.exp(-0.5 * (factor * _distances(center, bandwidth, sample_rate, n_fft)) ** 2)


def _distances(center: npt.ArrayLike, bandwidth: npt.ArrayLike, sample_rate: float, n_fft: int) -> np.ndarray:
    """Return the distance of each bin from each filter's center in bandwidths, float64.  Shape: (n, bins)."""
    centers = np.asarray(center, dtype=np.float64).reshape(-1)
    widths = np.asarray(bandwidth, dtype=np.float64).reshape(-1)
    if centers.size == 0 or not np.isfinite(centers).all():
        raise ValueError(f"center={center!r} must be one or more finite frequencies in Hz")
    if widths.size not in (1, centers.size):
        raise ValueError(
            f"bandwidth has {widths.size} values, and must have one, or one for each of {centers.size} centers"
        )
    if not (np.isfinite(widths).all() and (widths > 0).all()):
        raise ValueError(f"bandwidth={bandwidth!r} must be finite numbers of Hz > 0")
    return (fft_frequencies(sample_rate, n_fft) - centers[:, None]) / widths[:, None]
