"""Filter banks over the bins of a spectrum, in float64."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.scales import bark_frequencies, fft_frequencies, hz_to_mel, mel_frequencies


def mel_filterbank(
    *,
    sample_rate: float,
    n_fft: int,
    n_mels: int = 128,
    f_min: float = 0.0,
    f_max: float | None = None,
    mel_scale: str = "slaney",
    norm: str | float | None = "slaney",
) -> np.ndarray:
    """Return a filter bank of triangular mel filters in float64, equal to `librosa.filters.mel` or to Kaldi's.

    Filter m rises from mel point m to m + 1 and falls to m + 2, the points evenly spaced in mel from f_min to f_max.
    Its sides are straight in Hz; with mel_scale="kaldi" in mel, as in Kaldi and HTK, which use no bin at half the rate.

    Args:
        sample_rate: Hz.
        n_fft: FFT length in samples.
        n_mels: number of filters.
        f_min, f_max: Hz; `f_max=None` is sample_rate / 2.
        mel_scale: "slaney", "htk" or "kaldi".
        norm: "slaney" (each triangle has area 1 in Hz), None (peak 1), or a number p > 0 (each row has p-norm 1;
            `math.inf`: maximum 1). None for "kaldi".

    Returns:
        float64 array of shape (n_mels, n_fft // 2 + 1).

    Raises:
        ValueError: for an unknown mel_scale or norm, or a norm of Kaldi's filters.

    >>> mel_filterbank(sample_rate=16000, n_fft=400, n_mels=80).shape
    (80, 201)
    """
    top = sample_rate / 2.0 if f_max is None else f_max
    if mel_scale == "kaldi":
        if norm is not None:
            raise ValueError(f"norm={norm!r} must be None with mel_scale='kaldi', whose filters have peak 1")
        return _kaldi_filterbank(sample_rate, n_fft, n_mels, f_min, top)
    points = mel_frequencies(n_mels + 2, f_min=f_min, f_max=top, mel_scale=mel_scale)
    weights = triangles(points, fft_frequencies(sample_rate, n_fft))
    if norm is None:
        return weights
    if isinstance(norm, str):
        if norm != "slaney":
            raise ValueError(f"norm={norm!r} must be 'slaney', None, or a number p > 0")
        weights *= (2.0 / (points[2:] - points[:-2]))[:, None]
        return weights
    if not norm > 0:
        raise ValueError(f"norm={norm!r} must be 'slaney', None, or a number p > 0")
    if np.isinf(norm):
        size = weights.max(axis=1, keepdims=True)
    else:
        size = (weights**norm).sum(axis=1, keepdims=True) ** (1.0 / norm)
    # a filter between two bins is all zero and stays so
    return weights / np.where(size < np.finfo(np.float64).tiny, 1.0, size)


def _kaldi_filterbank(sample_rate: float, n_fft: int, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Return Kaldi's mel filter bank, of triangles straight in mel, in float64.  Shape: (n_mels, n_fft // 2 + 1)."""
    low, high = hz_to_mel([f_min, f_max], mel_scale="kaldi")
    mels = hz_to_mel(fft_frequencies(sample_rate, n_fft), mel_scale="kaldi")
    filters = triangles(np.linspace(low, high, n_mels + 2), mels)
    filters[:, n_fft // 2 :] = 0.0
    return filters


def triangles(points: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Return the triangular filters of a mel, linear or bark filter bank between given points, in float64.

    Filter m rises in a straight line from point m to 1 at point m + 1, and falls to 0 at m + 2.

    Args:
        points: (n + 2,) frequencies in Hz, increasing.
        bins: frequencies in Hz at which the filters are wanted, increasing.

    Returns:
        float64 array of shape (n, bins).

    >>> triangles(np.array([0.5, 2.5, 3.5]), np.arange(4.0)).tolist()
    [[0.0, 0.25, 0.75, 0.5]]
    """
    # nearly all of a bank is zero: only the bins between a filter's ends are computed
    n = len(points) - 2
    starts, ends = np.searchsorted(bins, points[:-2], "right"), np.searchsorted(bins, points[2:], "left")
    counts = np.maximum(ends - starts, 0)
    row = np.repeat(np.arange(n), counts)
    column = np.arange(len(row)) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    width, at = np.diff(points), bins[column]
    rise = (at - points[row]) / width[row]
    fall = (points[row + 2] - at) / width[row + 1]
    filters = np.zeros((n, len(bins)))
    filters[row, column] = np.maximum(0.0, np.minimum(rise, fall))
    return filters


def linear_filterbank(
    *, sample_rate: float, n_fft: int, n_filter: int = 128, f_min: float = 0.0, f_max: float | None = None
) -> np.ndarray:
    """Return a filter bank of triangles of one width in float64, as `torchaudio.functional.linear_fbanks` has them.

    The triangles have peak 1.

    Args:
        sample_rate: Hz.
        n_fft: FFT length in samples.
        n_filter: number of filters.
        f_min, f_max: Hz; `f_max=None` is sample_rate / 2.

    Returns:
        float64 array of shape (n_filter, n_fft // 2 + 1).

    Differs from torchaudio at an odd sample_rate or n_fft: there the last bin is put at half the rate, rounded down.

    >>> linear_filterbank(sample_rate=16000, n_fft=400, n_filter=80).shape
    (80, 201)
    """
    top = sample_rate / 2.0 if f_max is None else f_max
    return triangles(np.linspace(f_min, top, n_filter + 2), fft_frequencies(sample_rate, n_fft))


def bark_filterbank(
    *,
    sample_rate: float,
    n_fft: int,
    n_barks: int = 128,
    f_min: float = 0.0,
    f_max: float | None = None,
    bark_scale: str = "traunmuller",
) -> np.ndarray:
    """Return a filter bank of triangles evenly spaced in bark, in float64.

    The triangles have peak 1, and their points are evenly spaced, like torchaudio's former `barkscale_fbanks`.

    Args:
        sample_rate: Hz.
        n_fft: FFT length in samples.
        n_barks: number of filters.
        f_min, f_max: Hz; `f_max=None` is sample_rate / 2.
        bark_scale: "traunmuller", "schroeder" or "wang": see `hz_to_bark`.

    Returns:
        float64 array of shape (n_barks, n_fft // 2 + 1).

    >>> bark_filterbank(sample_rate=16000, n_fft=512, n_barks=24).shape
    (24, 257)
    """
    top = sample_rate / 2.0 if f_max is None else f_max
    points = bark_frequencies(n_barks + 2, f_min=f_min, f_max=top, bark_scale=bark_scale)
    return triangles(points, fft_frequencies(sample_rate, n_fft))
