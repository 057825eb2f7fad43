"""Pitch classes of the bins of a spectrum, tunings, and the tonal centroid, in float64."""

from __future__ import annotations

import math

import numpy as np

from audiofeed.signal.constant_q.tuning import LOWEST_A
from audiofeed.signal.constant_q.wavelets import C1
from audiofeed.signal.windows import Window, get_window

# What a class holds of a frame's sum counts 1/4 for each of these that it exceeds: Müller and Ewert (2011), after a
# logarithm's shape.
CENS_STEPS = (0.4, 0.2, 0.1, 0.05)


def chroma_positions(*, sample_rate: float, n_fft: int, n_chroma: int) -> tuple[np.ndarray, np.ndarray]:
    """Position and width of each bin of a spectrum on a scale of `n_chroma` to the octave.

    The position counts from A0 at 440 Hz tuning; another tuning subtracts itself. A bin reaches as far as the next one,
    but at least one step. Bin 0 has no pitch: it is put one and a half octaves below bin 1, on the opposite side of the
    circle and so wide that it belongs to no class (Ellis, "Chroma feature analysis and synthesis", 2007).

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
    """Parts of filters of any tuning: see `methods.harmony.chroma.chroma_filters`.

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
    """Gaussian bumps around each pitch class, equal to `librosa.filters.chroma`.

    Each bin has 2-norm 1 over the classes before the octaves are weighed.

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
    """Classes from A up to C, as librosa counts them: 3 for each whole dozen.

    >>> base_shift(24)
    6
    """
    return 3 * (n_chroma // 12)


def cq_to_chroma(
    n_bins: int,
    *,
    bins_per_octave: int = 12,
    n_chroma: int = 12,
    f_min: float = C1,
    window: np.ndarray | None = None,
    base_c: bool = True,
) -> np.ndarray:
    """The constant-Q bins of each pitch class, equal to `librosa.filters.cq_to_chroma`.

    A class takes as many neighboring bins of every octave as there are to a class, around the one on its own pitch.

    Args:
        n_bins: constant-Q bins, of which the lowest is at `f_min` Hz.
        bins_per_octave: a multiple of `n_chroma`, the classes in an octave.
        window: what each class is convolved with along the bins; None: nothing.
        base_c: class 0 is C; False: A.

    Returns:
        float64 array of shape (n_chroma, n_bins).

    >>> cq_to_chroma(36, bins_per_octave=36, f_min=440.0)[9].nonzero()[0].tolist()
    [0, 1, 35]
    """
    width = bins_per_octave // n_chroma
    # semitones of the lowest bin above a C (or an A), rounded to classes as librosa has it
    semitones = (12.0 * math.log2(f_min / LOWEST_A) + (9.0 if base_c else 0.0)) % 12.0
    lowest = round(semitones * (n_chroma / 12.0))
    own = (lowest + (np.arange(n_bins) + width // 2) // width) % n_chroma
    classes = (own == np.arange(n_chroma)[:, None]).astype(np.float64)
    if window is None:
        return classes
    start = (len(window) - 1) // 2  # the part of each convolution that lies on the bins
    return np.stack([np.convolve(row, window)[start : start + n_bins] for row in classes])


def tonnetz_basis(n_chroma: int = 12) -> np.ndarray:
    """Coordinates of pitch classes on the circles of fifths, minor thirds and major thirds: sine, cosine of each.

    Harte, Sandler and Gasser, "Detecting harmonic change in musical audio" (2006): the circles have radius 1, 1, 1/2.
    A semitone turns the first by 7/12, the second by 3/12 (9/12 backwards), the third by 4/12 (8/12 backwards).

    Returns:
        float64 array of shape (6, n_chroma).

    >>> tonnetz_basis()[:, 0].round(3).tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0, 0.5]
    """
    semitones = np.arange(n_chroma) * (12.0 / n_chroma)
    angle = np.pi * np.outer([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3], semitones)
    angle[::2] -= np.pi / 2  # a cosine a quarter turn late is a sine
    return np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5])[:, None] * np.cos(angle)


def smoothing_filter(window: Window, length: int) -> np.ndarray:
    """A symmetric window of sum 1, without the two ends, which are 0 for a Hann window, counted.

    Args:
        window: see `audiofeed.signal.get_window`.
        length: frames.

    Returns:
        float64 array of shape (length + 2,).

    >>> smoothing_filter("hann", 1).tolist()
    [0.0, 1.0, 0.0]
    """
    samples = get_window(window, length + 2, periodic=False)
    return samples / samples.sum()
