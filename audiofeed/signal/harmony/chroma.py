"""Chroma filters: the pitch classes of the bins of a spectrum, of any tuning, in float64."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.constant_q.tuning import LOWEST_A

# What a class holds of a frame's sum counts 1/4 for each of these that it exceeds: Müller and Ewert (2011), after a
# logarithm's shape.
CENS_STEPS = (0.4, 0.2, 0.1, 0.05)


def chroma_positions(*, sample_rate: float, n_fft: int, n_chroma: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the position and width of each FFT bin on the chroma scale, in float64.

    The scale has `n_chroma` steps to the octave. The position counts from A0 at 440 Hz tuning; another tuning subtracts
    itself. A bin reaches as far as the next one, but at least one step. Bin 0 has no pitch: it is put one and a half
    octaves below bin 1, on the opposite side of the circle and so wide that it belongs to no class (Ellis, "Chroma
    feature analysis and synthesis", 2007).

    Returns:
        float64 positions and widths of shape (n_fft // 2 + 1,).

    >>> chroma_positions(sample_rate=8000, n_fft=4, n_chroma=12)[0].round(2).tolist()
    [56.21, 74.21, 86.21]
    """
    hz = np.arange(1, n_fft) * (sample_rate / n_fft)
    positions = n_chroma * np.log2(hz / LOWEST_A)
    # n_fft=1 has no bin but the one at 0 Hz
    positions = np.concatenate([positions[:1] - 1.5 * n_chroma if hz.size else [0.0], positions])
    widths = np.append(np.maximum(np.diff(positions), 1.0), 1.0)
    bins = n_fft // 2 + 1
    return positions[:bins], widths[:bins]


def chroma_places(*, sample_rate: float, n_fft: int, n_chroma: int, ctroct: float) -> np.ndarray:
    """Return the parts of chroma filters that are the same for any tuning, in float64.

    See `methods.harmony.chroma.chroma_filters`.

    Args:
        ctroct: center of the Gaussian that weighs the octaves, counted from A0.

    Returns:
        float64 array of shape (3, n_fft // 2 + 1): the position of each bin on the circle of classes, its width, and
        its octave less the center.

    >>> chroma_places(sample_rate=8000, n_fft=4, n_chroma=12, ctroct=5.0)[0].round(2).tolist()
    [8.21, 2.21, 2.21]
    """
    positions, widths = chroma_positions(sample_rate=sample_rate, n_fft=n_fft, n_chroma=n_chroma)
    return np.stack([positions % n_chroma, widths, positions / n_chroma - ctroct])


def chroma_filterbank(
    *,
    sample_rate: float,
    n_fft: int,
    n_chroma: int = 12,
    tuning: float = 0.0,
    ctroct: float = 5.0,
    octwidth: float | None = 2.0,
    base_c: bool = True,
) -> np.ndarray:
    """Return the chroma filters of a spectrum, in float64, equal to `librosa.filters.chroma`.

    Gaussian bumps around each pitch class. Each bin has 2-norm 1 over the classes before the octaves are weighed.

    Args:
        sample_rate: Hz.
        n_fft: FFT length in samples.
        n_chroma: pitch classes in an octave.
        tuning: deviation from A440, in fractions of a class.
        ctroct, octwidth: center and standard deviation of the Gaussian that weighs the octaves, counted from A0;
            `octwidth=None`: all weigh alike.
        base_c: class 0 is C; False: A.

    Returns:
        float64 array of shape (n_chroma, n_fft // 2 + 1).

    >>> chroma_filterbank(sample_rate=8000, n_fft=512).argmax(axis=0)[[17, 28, 56]].tolist()
    [0, 9, 9]
    """
    positions, widths = chroma_positions(sample_rate=sample_rate, n_fft=n_fft, n_chroma=n_chroma)
    positions = positions - tuning
    half = np.round(n_chroma / 2)
    distance = np.remainder(positions - np.arange(n_chroma)[:, None] + half, n_chroma) - half
    weights = np.exp(-0.5 * (2 * distance / widths) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=0))
    if octwidth is not None:
        weights *= np.exp(-0.5 * ((positions / n_chroma - ctroct) / octwidth) ** 2)
    return np.roll(weights, -base_shift(n_chroma), axis=0) if base_c else weights


def base_shift(n_chroma: int) -> int:
    """Return the number of chroma classes from A up to C in librosa's definition.

    3 for each whole dozen.

    >>> base_shift(24)
    6
    """
    return 3 * (n_chroma // 12)
