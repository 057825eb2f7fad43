"""Gabor filters and Gaussian low-passes of a learnable front-end (LEAF), in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from audiofeed.signal.bounded_parameters import angle_of, drawn_in
from audiofeed.signal.scales import mel_frequencies

# A Gaussian of standard deviation s samples has the amplitude response exp(-2 (pi s f)^2), whose full width at half
# maximum is sqrt(2 ln 2) / (pi s) cycles per sample.
_WIDTH_TIMES_DEVIATION = math.sqrt(2.0 * math.log(2.0)) / math.pi

# center frequencies in cycles per sample
CENTER_BOUNDS = (0.0, 0.5)


def deviation_bounds(win_length: int) -> tuple[float, float]:
    """Return the bounds on the standard deviations of Gabor filters in the definition of LEAF.

    In samples: between them the response is 1/4 to 1 / win_length cycles per sample wide.

    >>> [round(bound, 2) for bound in deviation_bounds(401)]
    [1.5, 150.29]
    """
    return 4.0 * _WIDTH_TIMES_DEVIATION, win_length * _WIDTH_TIMES_DEVIATION


def pool_bounds(win_length: int) -> tuple[float, float]:
    """Return the bounds on the standard deviations of Gaussian low-passes in the definition of LEAF.

    In units of half the low-pass's length.

    >>> pool_bounds(401)
    (0.004987531172069825, 0.5)
    """
    return 2.0 / win_length, 0.5


def gabor_start(n_filters: int, *, sample_rate: float, f_min: float, f_max: float, win_length: int) -> np.ndarray:
    """Return the center frequencies and deviations with which LEAF's Gabor filters start, in float64.

    In cycles per sample and in samples; the filters are as wide as mel filters.

    A mel filter weighs powers, so its root weighs amplitudes: that of a triangle is at least half of its peak where the
    triangle is at least a quarter, over three quarters of its base. (LEAF's code counts the bins of a 512-point FFT
    there; this is the same without the rounding to bins.)

    Returns:
        float64 array of shape (2, n_filters).

    >>> gabor_start(40, sample_rate=16000, f_min=60.0, f_max=7800.0, win_length=401).shape
    (2, 40)
    """
    points = mel_frequencies(n_filters + 2, f_min=f_min, f_max=f_max, mel_scale="htk") / sample_rate
    width = 0.75 * (points[2:] - points[:-2])
    return np.stack(
        [
            drawn_in(points[1:-1], *CENTER_BOUNDS),
            drawn_in(_WIDTH_TIMES_DEVIATION / width, *deviation_bounds(win_length)),
        ]
    )


def gabor_filters(center: np.ndarray, deviation: np.ndarray, win_length: int) -> np.ndarray:
    """Return the complex Gabor filters that define LEAF, in float64, from center frequencies and deviations.

    exp(2 pi i center t) exp(-t^2 / (2 deviation^2)) / (sqrt(2 pi) deviation): gain 1 at the center frequency.

    Returns:
        float64 array of shape (2, n, win_length), the real parts, then the imaginary.

    >>> gabor_filters(np.array([0.1, 0.2]), np.array([5.0, 5.0]), 31).shape
    (2, 2, 31)
    """
    t = np.arange(win_length) - (win_length - 1) / 2.0
    envelope = np.exp(-0.5 * (t / deviation[:, None]) ** 2) / (math.sqrt(2.0 * math.pi) * deviation[:, None])
    phase = 2.0 * np.pi * center[:, None] * t
    return np.stack([np.cos(phase) * envelope, np.sin(phase) * envelope])


def gaussian_pools(width: np.ndarray, win_length: int) -> np.ndarray:
    """Return the Gaussian low-passes that define LEAF's pooling, in float64, from their standard deviations.

    Gaussians over -1 to 1 of standard deviation `width`, 1 in the middle.  Shape: (n,) -> (n, win_length).

    >>> gaussian_pools(np.array([0.4]), 3).round(3).tolist()
    [[0.044, 1.0, 0.044]]
    """
    t = np.linspace(-1.0, 1.0, win_length)
    return np.exp(-0.5 * (t / width[:, None]) ** 2)


@dataclass(frozen=True, kw_only=True)
class GaborStart:
    """Definition of the filters and low-passes with which LEAF starts, and of the parameters behind them, in float64.

    >>> start = GaborStart(
    ...     n_filters=40, sample_rate=16000.0, f_min=60.0, f_max=7800.0, win_length=401, pool_width=0.4
    ... )
    >>> start.filters().shape, start.pools().shape, start.raw_pool().shape
    ((2, 40, 401), (40, 401), (40,))
    """

    n_filters: int
    sample_rate: float
    f_min: float
    f_max: float
    win_length: int
    pool_width: float

    def values(self) -> np.ndarray:
        """Return the float64 center frequencies and deviations of the Gabor filters with which LEAF starts.

        See `gabor_start`.  Shape: (2, n_filters).
        """
        return gabor_start(
            self.n_filters,
            sample_rate=self.sample_rate,
            f_min=self.f_min,
            f_max=self.f_max,
            win_length=self.win_length,
        )

    def pool_widths(self) -> np.ndarray:
        """Return the float64 standard deviations of the low-passes with which LEAF starts.

        In units of half their length.  Shape: (n_filters,).
        """
        return np.full(self.n_filters, drawn_in(self.pool_width, *pool_bounds(self.win_length)))

    def raw_centre(self) -> np.ndarray:
        """Return the float64 angles behind the center frequencies with which LEAF starts.

        Shape: (n_filters,).
        """
        return angle_of(self.values()[0], *CENTER_BOUNDS)

    def raw_deviation(self) -> np.ndarray:
        """Return the float64 angles behind the deviations of the Gabor filters with which LEAF starts.

        Shape: (n_filters,).
        """
        return angle_of(self.values()[1], *deviation_bounds(self.win_length))

    def raw_pool(self) -> np.ndarray:
        """Return the float64 angles behind the widths of the low-passes with which LEAF starts.

        Shape: (n_filters,).
        """
        return angle_of(self.pool_widths(), *pool_bounds(self.win_length))

    def filters(self) -> np.ndarray:
        """Return the float64 Gabor filters with which LEAF starts.

        Shape: (2, n_filters, win_length).
        """
        center, deviation = self.values()
        return gabor_filters(center, deviation, self.win_length)

    def pools(self) -> np.ndarray:
        """Return the float64 Gaussian low-passes with which LEAF starts.

        Shape: (n_filters, win_length).
        """
        return gaussian_pools(self.pool_widths(), self.win_length)
