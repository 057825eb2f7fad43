"""Mel filters whose frequencies are warped for the length of a vocal tract (VTLN), as in Kaldi."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.scales import fft_frequencies, hz_to_mel, mel_to_hz


def warped_frequencies(
    frequencies: np.ndarray, *, warp: float, low: float, high: float, f_min: float, f_max: float
) -> np.ndarray:
    """Return frequencies warped for the length of a vocal tract, in Hz: piecewise linear, fixed at both ends.

    Between the inflection points l = low * max(1, warp) and h = high * min(1, warp) a frequency is divided by `warp`;
    below and above, a line leads to f_min and f_max. It is Kaldi's `VtlnWarpFreq`.

    Args:
        frequencies: Hz; those outside f_min to f_max stay as they are.
        warp: the factor, > 0.
        low, high: Hz, the cutoffs.
        f_min, f_max: Hz, what is not moved.

    Raises:
        ValueError: unless f_min < l < h < f_max.

    >>> limits = {"low": 100.0, "high": 7500.0, "f_min": 20.0, "f_max": 8000.0}
    >>> warped_frequencies(np.array([20.0, 1000.0, 8000.0]), warp=0.5, **limits).tolist()
    [20.0, 2000.0, 8000.0]
    """
    lower, upper = low * max(1.0, warp), high * min(1.0, warp)
    if not f_min < lower < upper < f_max:
        raise ValueError(
            f"vtln_low={low!r} and vtln_high={high!r} Hz must lie between low_freq={f_min!r} and high_freq={f_max!r}, "
            f"with vtln_warp={warp!r} too, by which they become {lower} and {upper}"
        )
    warped = np.interp(frequencies, [f_min, lower, upper, f_max], [f_min, lower / warp, upper / warp, f_max])
    inside = (frequencies >= f_min) & (frequencies <= f_max)
    return np.where(inside, warped, frequencies)


def warped_mel_filterbank(
    *,
    sample_rate: float,
    n_fft: int,
    n_mels: int,
    f_min: float,
    f_max: float,
    warp: float,
    low: float,
    high: float,
) -> np.ndarray:
    """Return Kaldi's mel filters with the edges of each warped for the length of a vocal tract, in float64.

    Args:
        sample_rate: Hz.
        n_fft: FFT length in samples.
        n_mels: number of filters.
        f_min, f_max: Hz, the edges of all filters together.
        warp, low, high: see `warped_frequencies`.

    Returns:
        float64 array of shape (n_mels, n_fft // 2 + 1); no filter takes the bin at half the rate.

    >>> warped_mel_filterbank(
    ...     sample_rate=16000, n_fft=512, n_mels=23, f_min=20, f_max=8000, warp=1.1, low=100, high=7500
    ... ).shape
    (23, 257)
    """
    ends = hz_to_mel([f_min, f_max], mel_scale="kaldi")
    points = mel_to_hz(np.linspace(ends[0], ends[1], n_mels + 2), mel_scale="kaldi")
    points = warped_frequencies(points, warp=warp, low=low, high=high, f_min=f_min, f_max=f_max)
    edges = hz_to_mel(points, mel_scale="kaldi")[:, None]
    mels = hz_to_mel(fft_frequencies(sample_rate, n_fft), mel_scale="kaldi")
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0.0, np.minimum((mels - left) / (center - left), (right - mels) / (right - center)))
    weights[:, n_fft // 2 :] = 0.0
    return weights
